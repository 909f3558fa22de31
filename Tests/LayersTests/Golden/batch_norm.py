"""Makes batch_norm.safetensors: BatchNorm2d in float64, and how far PyTorch's own float32 is from it.

float64 arrays are stored as two float32: NAME is the rounded value, NAME_low what rounding lost.
"errors" holds, array by array, max |float32 - float64| / max |float64| of PyTorch.
"""

import torch

from golden import Golden


def run(module, x, dy, training):
    module.train(training)
    x = x.clone().requires_grad_()
    y = module(x)
    results = {"y": y}
    if training:
        y.backward(dy)
        results["dx"] = x.grad
        if module.affine:
            results["dweight"], results["dbias"] = module.weight.grad, module.bias.grad
        results["running_mean"], results["running_var"] = module.running_mean, module.running_var
    return {name: value.detach() for name, value in results.items()}


golden = Golden("batch_norm", seed=1)
CASES = {
    "plain": ((3, 5, 7, 9), {}, 1, 0),
    "one_image": ((1, 4, 5, 5), {}, 1, 0),
    "features": ((5, 6, 1, 1), {}, 1, 0),
    "two_values": ((2, 3, 1, 1), {}, 1, 0),
    "eps_momentum": ((2, 3, 4, 4), {"eps": 1e-2, "momentum": 0.3}, 0.1, 0),
    "no_affine": ((2, 3, 6, 3), {"affine": False}, 1, 0),
    "far_from_zero": ((4, 3, 8, 9), {}, 0.05, 40),
    "large": ((8, 1, 16, 17), {}, 2, -1),
}
for case, (shape, options, spread, centre) in CASES.items():
    x, dy = torch.randn(shape) * spread + centre, torch.randn(shape)
    single = torch.nn.BatchNorm2d(shape[1], **options)
    if single.affine:
        torch.nn.init.normal_(single.weight), torch.nn.init.normal_(single.bias)
    torch.nn.init.normal_(single.running_mean, centre), torch.nn.init.uniform_(single.running_var, 0.5, 2)
    given = {"x": x, "dy": dy, "mean0": single.running_mean, "var0": single.running_var}
    if single.affine:
        given |= {"weight": single.weight, "bias": single.bias}
    given = {name: value.detach().clone() for name, value in given.items()}
    double = torch.nn.BatchNorm2d(shape[1], **options).double()
    double.load_state_dict(single.state_dict())
    arrays, errors = dict(given), {}
    for training, prefix in ((False, "eval_"), (True, "")):
        got, exact = run(single, x, dy, training), run(double, x.double(), dy.double(), training)
        for name, value in exact.items():
            errors[prefix + name] = ((got[name].double() - value).abs().max() / value.abs().max()).item()
            arrays[prefix + name] = value.float()
            arrays[prefix + name + "_low"] = (value - value.float().double()).float()
    golden.add(case, {"eps": single.eps, "momentum": single.momentum, "errors": errors}, **arrays)
golden.save()
