"""Makes written_by_python.safetensors with the reference implementation (safetensors 0.8.0, numpy 2.4.6)."""

import pathlib

import numpy
from safetensors.numpy import save_file

save_file(
    {
        "bytes": numpy.array([0, 1, 127, 128, 255], numpy.uint8),
        "counts": numpy.array([[-1, 2**53 + 1], [-(2**63), 2**63 - 1]], numpy.int64),
        "empty": numpy.zeros((0, 3), numpy.float32),
        "scalar": numpy.array(-2.5, numpy.float32),
        "wéights \"1\"": numpy.array([[0.1, -0.0, 1e-45], [numpy.inf, 3e38, 1 / 3]], numpy.float32),
    },
    pathlib.Path(__file__).with_suffix(".safetensors"),
    {"note": 'tab\tand "quotes"'},
)
