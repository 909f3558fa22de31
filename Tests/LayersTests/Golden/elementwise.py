"""Makes elementwise.safetensors: ReLU (with what isn't finite), sums and concatenation."""

import torch

from golden import Golden, gradients


class Add(torch.nn.Module):
    def __init__(self, relu):
        super().__init__()
        self.relu = relu

    def forward(self, *inputs):
        y = inputs[0]
        for x in inputs[1:]:
            y = y + x
        return torch.relu(y) if self.relu else y


class Concat(torch.nn.Module):
    def forward(self, *inputs):
        return torch.cat(inputs, 1)


golden = Golden("elementwise", seed=4)


def add(case, layer, shapes, relu=False):
    inputs = [torch.randn(shape) for shape in shapes]
    if case == "relu":
        inputs[0].view(-1)[:6] = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-40])
    y, dy, grads = gradients(layer, *inputs)
    arrays = {f"x{i}": x for i, x in enumerate(inputs)} | {f"dx{i}": dx for i, dx in enumerate(grads)}
    golden.add(case, {"inputs": len(inputs), "relu": relu}, y=y, dy=dy, **arrays)


add("relu", torch.nn.ReLU(), [(3, 2, 5, 7)])
add("add_two", Add(False), [(3, 2, 5, 7)] * 2)
add("add_two_relu", Add(True), [(1, 4, 5, 5)] * 2, relu=True)
add("add_three", Add(False), [(5, 3, 3, 1)] * 3)
add("add_three_relu", Add(True), [(2, 3, 4, 4)] * 3, relu=True)
add("concat_two", Concat(), [(3, 2, 5, 7), (3, 1, 5, 7)])
add("concat_three", Concat(), [(1, 2, 2, 3), (1, 3, 2, 3), (1, 1, 2, 3)])
golden.save()
