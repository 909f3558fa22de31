"""Makes activations.safetensors: element-wise functions, in float64, with what isn't finite and where they bend."""

import torch
from torch import nn

from golden import Golden, gradients

golden = Golden("activations", seed=6)
# Not at the bends of hardswish and hardsigmoid themselves: their slope there is a convention of each version.
special = [float("nan"), float("inf"), -80.0, -20.0, -6.0, -2.999, -0.625, -1e-3, -1e-30, 0.0, 1e-30, 1e-3,
           0.624, 0.626, 2.999, 3.001, 5.999, 6.001, 20.0, 80.0]
for name, layer, hyper in [
    ("relu6", nn.ReLU6(), {"kind": "ReLU6"}),
    ("hardsigmoid", nn.Hardsigmoid(), {"kind": "Hardsigmoid"}),
    ("hardswish", nn.Hardswish(), {"kind": "Hardswish"}),
    ("leaky_relu", nn.LeakyReLU(), {"kind": "LeakyReLU", "negativeSlope": 0.01}),
    ("leaky_relu_steep", nn.LeakyReLU(-0.5), {"kind": "LeakyReLU", "negativeSlope": -0.5}),
    ("sigmoid", nn.Sigmoid(), {"kind": "Sigmoid"}),
    ("silu", nn.SiLU(), {"kind": "SiLU"}),
    ("tanh", nn.Tanh(), {"kind": "Tanh"}),
    ("gelu", nn.GELU(), {"kind": "GELU", "approximate": "none"}),
    ("gelu_tanh", nn.GELU(approximate="tanh"), {"kind": "GELU", "approximate": "tanh"}),
]:
    x = (torch.randn(2, 3, 7, 9) * 2).float().double()
    x.view(-1)[:len(special)] = torch.tensor(special).float().double()
    y, dy, (dx,) = gradients(layer, x)
    golden.add(name, hyper, x=x, y=y, dy=dy, dx=dx)
golden.save()
