"""Writes layerwise.safetensors: 50 steps of LARS, LAMB, clipping and a moving average in PyTorch.

pip install -r ../../LayersTests/Golden/requirements.txt; python layerwise.py
`initial` (1,243) is a weight of (24, 50), which ends in the second chunk, a bias of 13, a norm's scale of 15 and
shift of 15. The gradient of step t (from 0) is row t % 7 of `gradients`, times 2 ^ -(t // 7 % 3). `NAME/values`
is what a case ends with, `average/averages` the moving average that followed. PyTorch has no LARS and no LAMB:
here they are written down from the papers (arXiv:1708.03888, arXiv:1904.00962).
"""
import torch
from safetensors.torch import save_file

SHAPES = [(24, 50), (13,), (15,), (15,)]
STEPS, ROWS = 50, 7


def split(flat):
    sizes = [torch.Size(shape).numel() for shape in SHAPES]
    return [part.reshape(shape).clone() for part, shape in zip(flat.split(sizes), SHAPES)]


def lars(parameters, state, adapted, lr, momentum=0.0, decay=0.0, trust=0.1):
    for index, w in enumerate(parameters):
        g, rate = w.grad, lr
        w_norm, g_norm = w.double().norm().item(), g.double().norm().item()
        if adapted(index) and w_norm > 0 and g_norm > 0:
            rate = lr * trust * w_norm / (g_norm + decay * w_norm)
        state[index] = momentum * state.get(index, torch.zeros_like(w)) + rate * (g + decay * w)
        w -= state[index]


def lamb(parameters, state, adapted, lr, decay=0.0, betas=(0.9, 0.999), eps=1e-6):
    state["t"] = t = state.get("t", 0) + 1
    for index, w in enumerate(parameters):
        m, v = state.get(index, (torch.zeros_like(w), torch.zeros_like(w)))
        m = betas[0] * m + (1 - betas[0]) * w.grad
        v = betas[1] * v + (1 - betas[1]) * w.grad**2
        state[index] = m, v
        u = (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + eps) + decay * w
        w_norm, u_norm = w.double().norm().item(), u.double().norm().item()
        rate = lr * w_norm / u_norm if adapted(index) and w_norm > 0 and u_norm > 0 else lr
        w -= rate * u


weights_only, every_array = (lambda index: index == 0), (lambda index: True)
CASES = {
    "lars": lambda p, s: lars(p, s, weights_only, lr=0.05),
    "lars_momentum": lambda p, s: lars(p, s, weights_only, lr=0.05, momentum=0.9, decay=5e-3),
    "lars_all": lambda p, s: lars(p, s, every_array, lr=0.05, momentum=0.9, decay=5e-3, trust=0.1),
    "lamb": lambda p, s: lamb(p, s, weights_only, lr=0.01),
    "lamb_decay": lambda p, s: lamb(p, s, every_array, lr=0.01, decay=0.05, betas=(0.8, 0.95)),
}


def main():
    torch.manual_seed(11)
    torch.set_num_threads(1)
    count = sum(torch.Size(shape).numel() for shape in SHAPES)
    initial = torch.randn(count) * 0.3
    gradients = 10 ** torch.empty(count).uniform_(-3, 0) * (torch.randn(ROWS, count) + 0.5 * torch.randn(count))
    arrays = {"initial": initial, "gradients": gradients.contiguous()}

    def train(update, clip=lambda parameters: None, after=lambda parameters: None):
        parameters = split(initial)
        for step in range(STEPS):
            for parameter, gradient in zip(parameters, split(gradients[step % ROWS] * 0.5 ** (step // ROWS % 3))):
                parameter.grad = gradient
            clip(parameters)
            with torch.no_grad():
                update(parameters)
            after(parameters)
        return torch.cat([part.detach().reshape(-1) for part in parameters]).contiguous()

    for name, update in CASES.items():
        state = {}
        arrays[f"{name}/values"] = train(lambda parameters: update(parameters, state))

    def sgd(parameters):
        for parameter in parameters:
            parameter -= 0.05 * parameter.grad

    value = lambda parameters: torch.nn.utils.clip_grad_value_(parameters, 0.3)
    norm = lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, 2.0)
    arrays["clip_value/values"] = train(sgd, value)
    arrays["clip_norm/values"] = train(sgd, norm)
    arrays["clip_both/values"] = train(sgd, lambda parameters: (value(parameters), norm(parameters)))
    state = {}
    arrays["lars_clipped/values"] = train(
        lambda parameters: lars(parameters, state, weights_only, lr=0.05, momentum=0.9, decay=5e-3), norm)

    averages = split(initial)

    def follow(parameters):
        for average, parameter in zip(averages, parameters):
            average.lerp_(parameter, 1 - 0.9)

    arrays["average/values"] = train(sgd, after=follow)
    arrays["average/averages"] = torch.cat([part.reshape(-1) for part in averages]).contiguous()
    save_file(arrays, "layerwise.safetensors", metadata={"torch": torch.__version__})


main()
