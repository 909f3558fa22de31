"""Makes scaling.safetensors: squeeze-and-excitation's product and layer scale, in float64."""

import torch

from golden import Golden, gradients


class Multiply(torch.nn.Module):
    def forward(self, x, s):
        return x * s


class LayerScale(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.layer_scale = torch.nn.Parameter(torch.randn(channels, 1, 1).float().double())

    def forward(self, x):
        return self.layer_scale * x


golden = Golden("scaling", seed=7)
rounded = lambda *shape: torch.randn(*shape).float().double()
for name, shape in {"plane": (3, 5, 7, 9), "pixel": (4, 19, 1, 1), "wide": (2, 33, 2, 3)}.items():
    x, s = rounded(*shape), rounded(*shape[:2], 1, 1)
    y, dy, (dx, ds) = gradients(Multiply(), x, s)
    golden.add(f"multiply_{name}", {}, x=x, s=s, y=y, dy=dy, dx=dx, ds=ds)
    layer = LayerScale(shape[1])
    y, dy, (dx,) = gradients(layer, x)
    golden.add(f"layer_scale_{name}", {}, x=x, weight=layer.layer_scale, y=y, dy=dy, dx=dx,
               dweight=layer.layer_scale.grad)
golden.save()
