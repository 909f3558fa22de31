"""Flatten of images, of rows, of vectors."""

import torch
from golden import Golden, gradients

golden = Golden("flatten", seed=3)
for name, shape in [("images", (3, 2, 4, 5)), ("rows", (5, 3, 1, 19)), ("vectors", (4, 6, 1, 1)), ("one", (1, 3, 18, 2))]:
    x = torch.randn(shape)
    y, dy, (dx,) = gradients(torch.nn.Flatten(), x)
    golden.add(name, {}, x=x, y=y, dy=dy, dx=dx)
golden.save()
