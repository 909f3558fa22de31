"""Writes optimizers.safetensors: 50 steps of PyTorch's optimizers fed with given gradients.

pip install -r ../../LayersTests/Golden/requirements.txt; python optimizers.py
`gradients` (50, 120) and `initial` (120) are shared: a weight of (7, 11), a bias of 13, a norm's scale
of 15 and shift of 15. `NAME/values` and `NAME/STATE` are what the optimizer ends with.
"""
import torch
from safetensors.torch import save_file

SHAPES = [(7, 11), (13,), (15,), (15,)]
STEPS = 50
SGD, ADAM, ADAMW, RMSPROP = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop
CASES = {
    "sgd": (SGD, dict(lr=0.05)),
    "sgd_momentum": (SGD, dict(lr=0.05, momentum=0.9, weight_decay=5e-4)),
    "sgd_nesterov": (SGD, dict(lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)),
    "sgd_l1": (SGD, dict(lr=0.05, momentum=0.9)),
    "sgd_no_decay": (SGD, dict(lr=0.05, weight_decay=0.1)),
    "adam": (ADAM, dict(lr=1e-3)),
    "adam_decay": (ADAM, dict(lr=1e-3, weight_decay=0.01, betas=(0.8, 0.95), eps=1e-6)),
    "adam_forgetful": (ADAM, dict(lr=1e-3, betas=(0.3, 0.9))),
    "adamw": (ADAMW, dict(lr=1e-3, weight_decay=0.01)),
    "adamw_scheduled": (ADAMW, dict(lr=1e-3, weight_decay=0.05)),
    "rmsprop": (RMSPROP, dict(lr=1e-3)),
    "rmsprop_momentum": (RMSPROP, dict(lr=1e-3, alpha=0.9, momentum=0.9, weight_decay=0.01)),
    "rmsprop_centered": (RMSPROP, dict(lr=1e-3, centered=True, eps=1e-6)),
    "rmsprop_centered_momentum": (RMSPROP, dict(lr=1e-3, centered=True, momentum=0.5)),
}
L1 = 0.01


def split(flat):
    return [part.reshape(shape).clone() for part, shape in zip(flat.split([torch.Size(s).numel() for s in SHAPES]), SHAPES)]


def flat(parts):
    return torch.cat([part.detach().reshape(-1) for part in parts]).contiguous()


def main():
    torch.manual_seed(5)
    torch.set_num_threads(1)
    count = sum(torch.Size(s).numel() for s in SHAPES)
    initial = torch.randn(count) * 0.3
    # Gradients of many sizes, with a steady part, as training has them.
    scale = 10 ** torch.empty(count).uniform_(-4, 0)
    gradients = scale * (torch.randn(STEPS, count) + 0.5 * torch.randn(count))
    arrays = {"initial": initial, "gradients": gradients.contiguous()}
    for name, (kind, settings) in CASES.items():
        parameters = [torch.nn.Parameter(part) for part in split(initial)]
        if name == "sgd_no_decay":
            groups = [dict(params=parameters[:1]), dict(params=parameters[1:], weight_decay=0.0)]
        else:
            groups = parameters
        optimizer = kind(groups, foreach=False, **settings)
        for step in range(STEPS):
            if name == "adamw_scheduled":
                for group in optimizer.param_groups:
                    group["lr"] = settings["lr"] * (step + 1) / STEPS
            for parameter, gradient in zip(parameters, split(gradients[step])):
                parameter.grad = gradient + L1 * parameter.detach().sign() if name == "sgd_l1" else gradient
            optimizer.step()
        arrays[f"{name}/values"] = flat(parameters)
        for state in optimizer.state[parameters[0]]:
            first = optimizer.state[parameters[0]][state]
            if state != "step" and first is not None:
                arrays[f"{name}/{state}"] = flat([optimizer.state[p][state] for p in parameters])
    save_file(arrays, "optimizers.safetensors", metadata={"torch": torch.__version__})


main()
