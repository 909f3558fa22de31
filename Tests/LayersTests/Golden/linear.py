"""Linear layers, and Flatten before one."""

import torch
from golden import Golden, gradients

golden = Golden("linear", seed=2)
for name, n, inputs, outputs, bias in [
    ("small", 3, 5, 4, True),
    ("one-image", 1, 7, 3, True),
    ("no-bias", 5, 4, 6, False),
    ("one-output", 4, 9, 1, True),
    ("wide", 6, 40, 33, True),
]:
    layer = torch.nn.Linear(inputs, outputs, bias)
    x = torch.randn(n, inputs)
    y, dy, (dx,) = gradients(layer.double(), x.double())
    golden.add(
        name, {"outputs": outputs, "bias": bias}, x=x, weight=layer.weight, bias=layer.bias, y=y, dy=dy, dx=dx,
        dWeight=layer.weight.grad, dBias=layer.bias.grad if bias else None,
    )
golden.save()
