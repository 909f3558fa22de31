"""Makes pooling.safetensors: MaxPool2d, AvgPool2d and AdaptiveAvgPool2d, and their shape rule."""

import random

import torch

from golden import Golden, gradients

golden = Golden("pooling", seed=2)


def add(case, kind, shape, **options):
    layer = getattr(torch.nn, kind)(**options)
    # Few different values, so that windows have ties.
    x = (torch.randn(shape) * 2).round() / 2 if kind == "MaxPool2d" else torch.randn(shape)
    y, dy, (dx,) = gradients(layer, x)
    both = lambda name, default: list(options.get(name, default) if isinstance(options.get(name, default), tuple)
                                      else (options.get(name, default),) * 2)
    kernel = both("kernel_size", 1)
    hyper = {
        "kind": kind, "kernel": kernel, "stride": both("stride", tuple(kernel)), "padding": both("padding", 0),
        "dilation": both("dilation", 1), "ceil": options.get("ceil_mode", False),
        "includePad": options.get("count_include_pad", True), "output": both("output_size", 1),
    }
    golden.add(case, hyper, x=x, y=y, dy=dy, dx=dx)


add("max_2x2", "MaxPool2d", (3, 2, 8, 34), kernel_size=2)
add("max_2x2_narrow", "MaxPool2d", (5, 3, 4, 16), kernel_size=2)
add("max_2x2_odd", "MaxPool2d", (1, 2, 7, 55), kernel_size=2)
add("max_2x2_tiny", "MaxPool2d", (2, 2, 3, 2), kernel_size=2)
add("max_2x2_ceil", "MaxPool2d", (2, 2, 7, 33), kernel_size=2, ceil_mode=True)
add("max_stem", "MaxPool2d", (3, 2, 12, 35), kernel_size=3, stride=2, padding=1)
add("max_stem_even", "MaxPool2d", (1, 2, 16, 32), kernel_size=3, stride=2, padding=1)
add("max_stem_ceil", "MaxPool2d", (1, 2, 8, 10), kernel_size=3, stride=2, padding=1, ceil_mode=True)
add("max_overlap", "MaxPool2d", (5, 1, 6, 20), kernel_size=3, stride=1, padding=1)
add("max_rectangle", "MaxPool2d", (2, 2, 9, 11), kernel_size=(2, 5), stride=(3, 4), padding=(1, 2))
add("max_dilated", "MaxPool2d", (2, 1, 9, 40), kernel_size=3, stride=2, padding=1, dilation=2)
add("max_dilated_ceil", "MaxPool2d", (2, 1, 10, 13), kernel_size=(3, 2), stride=(2, 3), dilation=(3, 2), ceil_mode=True)
add("max_stride_over_kernel", "MaxPool2d", (1, 2, 11, 11), kernel_size=2, stride=3)
add("max_ceil_last_dropped", "MaxPool2d", (1, 1, 5, 5), kernel_size=2, stride=4, padding=1, ceil_mode=True)
for name, options in {
    "plain": {"kernel_size": 2},
    "overlap": {"kernel_size": 3, "stride": 1},
    "padding": {"kernel_size": 3, "stride": 2, "padding": 1},
    "exclude": {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    "ceil": {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    "ceil_padding": {"kernel_size": (3, 4), "stride": (2, 3), "padding": (1, 2), "ceil_mode": True},
    "ceil_exclude": {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True, "count_include_pad": False},
}.items():
    add(f"avg_{name}", "AvgPool2d", (3, 2, 10, 12), **options)
    add(f"avg_{name}_odd", "AvgPool2d", (1, 2, 9, 39), **options)
for output in (1, 2, 3, (5, 7), (7, 1), (1, 4), (12, 30)):
    add(f"adaptive_{output}".replace("(", "").replace(")", "").replace(", ", "x"), "AdaptiveAvgPool2d",
        (3, 2, 7, 20), output_size=output)

# The shape rule: rows of ih iw kh kw sh sw ph pw dh dw ceil → oh ow, 0 0 where PyTorch refuses or where
# a window holds no element (PyTorch gives -infinity there and an index outside the plane).
random.seed(3)
for kind in ("MaxPool2d", "AvgPool2d"):
    rows = []
    while len(rows) < 400:
        ih, iw = random.randint(1, 9), random.randint(1, 9)
        kernel, stride, padding, dilation = (
            (random.randint(low, high), random.randint(low, high)) for low, high in ((1, 5), (1, 4), (0, 3), (1, 3)))
        dilation = dilation if kind == "MaxPool2d" else (1, 1)
        ceil = random.random() < 0.5
        options = {"dilation": dilation} if kind == "MaxPool2d" else {}
        layer = getattr(torch.nn, kind)(kernel, stride, padding, ceil_mode=ceil, **options)
        try:
            y = layer(torch.zeros(1, 1, ih, iw))
            output = [0, 0] if y.isinf().any() else list(y.shape[2:])
        except RuntimeError:
            output = [0, 0]
        if output == [0, 0] and random.random() < 0.7:
            continue
        rows.append([ih, iw, *kernel, *stride, *padding, *dilation, int(ceil), *output])
    golden.arrays[f"shapes/{kind}"] = torch.tensor(rows, dtype=torch.int64)
golden.save()
