"""Makes norms.safetensors: layer norm over channels, group norm, local response norm and softmax, in float64."""

import torch
from torch import nn

from golden import Golden, gradients


class LayerNorm2d(nn.LayerNorm):
    """torchvision.ops.misc's."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


golden = Golden("norms", seed=8)
rounded = lambda *shape: torch.randn(*shape).float().double()


def add(case, layer, shape, scale=1, offset=0, **hyper):
    layer = layer.double()
    for parameter in layer.parameters():
        parameter.data = rounded(*parameter.shape)
    x = (rounded(*shape) * scale + offset).float().double()
    y, dy, (dx,) = gradients(layer, x)
    weights = dict(layer.named_parameters())
    golden.add(case, {"kind": type(layer).__name__.removesuffix("2d"), **hyper}, x=x, y=y, dy=dy, dx=dx,
               **weights, **{f"d{name}": parameter.grad for name, parameter in weights.items()})


for name, shape, options in [("plane", (2, 19, 3, 7), {}), ("block", (3, 32, 2, 3), {}), ("one", (2, 3, 4, 4), {}),
                             ("off", (2, 20, 3, 3), {"offset": 100}), ("vector", (5, 70, 1, 1), {"eps": 1e-6}),
                             ("plain", (2, 21, 2, 2), {"affine": False})]:
    eps, affine = options.get("eps", 1e-5), options.get("affine", True)
    add(f"layer_{name}", LayerNorm2d(shape[1], eps, affine), shape, offset=options.get("offset", 0), epsilon=eps,
        affine=affine)
for name, groups, shape, affine in [("aligned", 2, (2, 32, 3, 5), True), ("across", 3, (3, 24, 2, 7), True),
                                    ("all", 1, (2, 19, 3, 3), True), ("each", 20, (2, 20, 4, 3), True),
                                    ("long", 2, (1, 6, 9, 9), True), ("plain", 4, (2, 20, 3, 3), False)]:
    add(f"group_{name}", nn.GroupNorm(groups, shape[1], affine=affine), shape, offset=3, groups=groups, epsilon=1e-5,
        affine=affine)
for name, shape, options in [("five", (2, 19, 3, 3), {"size": 5}), ("even", (2, 19, 2, 3), {"size": 4, "k": 2.0}),
                             ("strong", (2, 33, 2, 2), {"size": 3, "alpha": 0.5, "beta": 0.6, "k": 0.7}),
                             ("wide", (1, 5, 2, 2), {"size": 21, "alpha": 0.1, "beta": 0.75}),
                             ("alone", (1, 17, 1, 1), {"size": 1, "alpha": 1.0, "beta": 1.5})]:
    layer = nn.LocalResponseNorm(**options)
    add(f"response_{name}", layer, shape, scale=3, size=layer.size, alpha=layer.alpha, beta=layer.beta, k=layer.k)
for name, shape in [("plane", (2, 19, 3, 3)), ("vector", (3, 40, 1, 1)), ("one", (2, 1, 2, 2))]:
    add(f"softmax_{name}", nn.Softmax(dim=1), shape, scale=5)
golden.save()
