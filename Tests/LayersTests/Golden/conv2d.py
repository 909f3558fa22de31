"""Convolutions of every kind: rectangular, strided, padded, dilated, grouped, depthwise, pointwise."""

import torch
from golden import Golden, gradients

# name: N, C, H, W, then the arguments of nn.Conv2d.
CASES = {
    "square": (2, 3, 7, 6, 4, (3, 3), (1, 1), (1, 1), (1, 1), 1, True),
    "rectangular": (3, 2, 6, 9, 5, (2, 5), (1, 1), (0, 2), (1, 1), 1, True),
    "strided": (5, 3, 9, 8, 4, (3, 3), (2, 2), (1, 1), (1, 1), 1, False),
    "strides-differ": (1, 2, 11, 10, 3, (3, 4), (3, 2), (2, 0), (1, 1), 1, True),
    "dilated": (2, 2, 9, 10, 3, (3, 3), (1, 1), (2, 3), (2, 3), 1, True),
    "dilated-strided": (3, 2, 12, 11, 3, (3, 2), (2, 3), (1, 2), (2, 3), 1, False),
    "same-odd": (2, 2, 5, 6, 3, (3, 5), (1, 1), "same", (1, 1), 1, True),
    "same-even": (3, 2, 6, 5, 3, (4, 2), (1, 1), "same", (1, 1), 1, True),
    "same-even-dilated": (2, 2, 7, 8, 2, (2, 4), (1, 1), "same", (3, 1), 1, False),
    "grouped": (3, 6, 5, 5, 4, (3, 3), (1, 1), (1, 1), (1, 1), 2, True),
    "grouped-strided": (2, 6, 7, 6, 9, (3, 2), (2, 1), (1, 0), (1, 1), 3, True),
    "depthwise": (3, 4, 6, 7, 4, (3, 3), (1, 1), (1, 1), (1, 1), 4, True),
    "depthwise-strided": (5, 3, 9, 8, 3, (5, 3), (2, 2), (2, 1), (1, 1), 3, False),
    "depthwise-multiplier": (2, 2, 7, 20, 6, (3, 3), (1, 3), (1, 2), (2, 2), 2, True),
    "depthwise-same-even": (1, 3, 6, 6, 3, (4, 2), (1, 1), "same", (1, 1), 3, True),
    "pointwise": (5, 5, 4, 3, 7, (1, 1), (1, 1), (0, 0), (1, 1), 1, True),
    "pointwise-strided": (3, 4, 5, 7, 3, (1, 1), (2, 2), (0, 0), (1, 1), 1, False),
    "pointwise-padded": (2, 3, 4, 4, 2, (1, 1), (1, 1), (1, 1), (1, 1), 1, True),
    "pointwise-grouped": (3, 6, 3, 3, 4, (1, 1), (1, 1), (0, 0), (1, 1), 2, True),
    "stem": (1, 3, 16, 16, 4, (7, 7), (2, 2), (3, 3), (1, 1), 1, False),
    "kernel-as-large-as-image": (4, 3, 4, 5, 6, (4, 5), (1, 1), (0, 0), (1, 1), 1, True),
    "padding-beyond-kernel": (2, 2, 3, 3, 2, (2, 2), (1, 1), (3, 4), (1, 1), 1, True),
}

golden = Golden("conv2d", seed=1)
for name, (n, c, h, w, o, kernel, stride, padding, dilation, groups, bias) in CASES.items():
    layer = torch.nn.Conv2d(c, o, kernel, stride, padding, dilation, groups, bias)
    x = torch.randn(n, c, h, w)
    y, dy, (dx,) = gradients(layer.double(), x.double())
    hyper = {
        "outputs": o,
        "kernel": kernel,
        "stride": stride,
        "padding": None if padding == "same" else padding,
        "dilation": dilation,
        "groups": groups,
        "bias": bias,
    }
    golden.add(
        name, hyper, x=x, weight=layer.weight, bias=layer.bias, y=y, dy=dy, dx=dx, dWeight=layer.weight.grad,
        dBias=layer.bias.grad if bias else None,
    )
golden.save()
