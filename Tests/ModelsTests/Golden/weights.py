"""Writes the files of weights that TorchFileTests reads: `python weights.py` in this folder.

torch 2.13, safetensors 0.8. `expected.safetensors` holds the same arrays as the files of torch.save, with the
same bits; what another element type becomes as fp32 stands under `NAME.fp32`.
"""

from collections import OrderedDict

import torch
from safetensors.torch import save_file


def arrays():
    generator = torch.Generator().manual_seed(1)
    plain = torch.randn(3, 4, generator=generator)
    large = torch.randn(4, 6, generator=generator)
    values = torch.randn(2, 5, generator=generator) * 3
    return OrderedDict([
        ("plain", plain),
        ("turned", plain.t()),
        ("part", large[1:3, 2:5]),
        ("last", torch.randn(2, 3, 2, 2, generator=generator).contiguous(memory_format=torch.channels_last)),
        ("half", values.half()),
        ("brain", values.bfloat16()),
        ("double", values.double() / 3),
        ("long", torch.tensor([-1, 2, 3 << 33])),
        ("int", torch.tensor([-7, 9], dtype=torch.int32)),
        ("byte", torch.tensor([0, 255], dtype=torch.uint8)),
        ("flag", torch.tensor([True, False])),
        ("scalar", torch.tensor(2.5)),
        ("empty", torch.zeros(0, 3)),
    ])


def module():
    torch.manual_seed(2)
    net = torch.nn.Sequential(OrderedDict([("conv", torch.nn.Conv2d(3, 2, 1)), ("bn", torch.nn.BatchNorm2d(2))]))
    return net


given = arrays()
torch.save(given, "state_dict.pth")
torch.save(given, "legacy.pth", _use_new_zipfile_serialization=False)
expected = {name: array.contiguous().clone() for name, array in given.items()}
expected |= {f"{name}.fp32": array.contiguous().float().clone() for name, array in given.items()}

net = module()
wrapped = OrderedDict((f"module.{name}", array) for name, array in net.state_dict().items())
wrapped._metadata = net.state_dict()._metadata
torch.save({"epoch": 3, "loss": 0.25, "done": False, "note": None, "state_dict": wrapped}, "training.pth")
torch.save(OrderedDict(net.named_parameters()), "parameters.pth")
expected |= {f"training.{name}": array.clone() for name, array in net.state_dict().items()}
save_file(expected, "expected.safetensors")
