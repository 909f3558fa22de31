"""Helper of the scripts that make the golden files (run one with: python FAMILY.py).

Each script makes FAMILY.safetensors beside itself: arrays named case/array, float32 or int64, and in
the metadata, key "cases", one JSON object {case: hyper-parameters}. Needs requirements.txt. What was
computed in float64 is stored as float32.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

PINNED = "2.13.0"


class Golden:
    def __init__(self, family, seed):
        if torch.__version__.split("+")[0] != PINNED:
            sys.exit(f"golden files are made with torch {PINNED}, got {torch.__version__}")
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        self.path = pathlib.Path(__file__).with_name(family + ".safetensors")
        self.arrays, self.cases = {}, {}

    def add(self, case, hyper, **arrays):
        """Adds a case: its hyper-parameters (a dict) and its arrays by name; None is left out."""
        assert case not in self.cases, case
        self.cases[case] = hyper
        for name, array in arrays.items():
            if array is not None:
                array = array.detach().contiguous().clone()
                self.arrays[f"{case}/{name}"] = array.float() if array.is_floating_point() else array

    def save(self):
        # One key only: the order of several would change from run to run.
        save_file(self.arrays, self.path, {"cases": json.dumps(self.cases)})
        print(f"{self.path.name}: {len(self.cases)} cases, {self.path.stat().st_size} bytes")


def gradients(layer, *inputs):
    """Runs the layer on the inputs and backward from a random dy; returns y, dy and the inputs' gradients."""
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    layer.zero_grad()
    y = layer(*inputs)
    dy = torch.randn(y.shape).to(y.dtype)
    y.backward(dy)
    return y, dy, [x.grad for x in inputs]
