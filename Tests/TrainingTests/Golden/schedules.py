"""Writes schedules.json: the learning rates of PyTorch's schedulers, 4 steps an epoch for 10 epochs.

pip install -r ../../LayersTests/Golden/requirements.txt; python schedules.py
Schedulers that count epochs are stepped once an epoch, the others once a step. `cosine_peers` is the
warm-up and cosine that many training scripts write as a LambdaLR. `plateau` lists the rate after each
evaluation of `plateau_values` (lower is better), `plateau_up` of `plateau_up_values` (higher is better).
"""
import json
import math
import warnings

import torch
from torch.optim import lr_scheduler as schedulers

STEPS_PER_EPOCH, EPOCHS, RATE = 4, 10, 0.1
STEPS = STEPS_PER_EPOCH * EPOCHS


def rates(make, every=1):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = make(optimizer)
    result = []
    for step in range(STEPS):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0:
            scheduler.step()
    return result


def plateau(values, **settings):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = schedulers.ReduceLROnPlateau(optimizer, **settings)
    result = []
    for value in values:
        scheduler.step(value)
        result.append(optimizer.param_groups[0]["lr"])
    return result


def main():
    warnings.simplefilter("error")
    warm = STEPS_PER_EPOCH
    values = [1.0, 0.9, 0.95, 0.93, 0.91, 0.89999, 0.88, 0.89, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    golden = {
        "step": rates(lambda o: schedulers.StepLR(o, 3, gamma=0.5), STEPS_PER_EPOCH),
        "multi_step": rates(lambda o: schedulers.MultiStepLR(o, [2, 3, 7], gamma=0.3), STEPS_PER_EPOCH),
        "cosine": rates(lambda o: schedulers.CosineAnnealingLR(o, STEPS, eta_min=0.01)),
        "polynomial": rates(lambda o: schedulers.PolynomialLR(o, STEPS, power=2.0)),
        "one_cycle": rates(lambda o: schedulers.OneCycleLR(o, RATE, STEPS, cycle_momentum=False)),
        "one_cycle_other": rates(
            lambda o: schedulers.OneCycleLR(
                o, RATE, STEPS, pct_start=0.1, div_factor=10, final_div_factor=100, cycle_momentum=False)),
        "cosine_peers": rates(
            lambda o: schedulers.LambdaLR(
                o,
                lambda t: min((t + 1) / warm, 0.5 * (1 + math.cos(math.pi * max(0, t - warm) / max(1, STEPS - warm)))))),
        "plateau_values": values,
        "plateau": plateau(values, factor=0.5, patience=2, threshold=1e-3, min_lr=0.02),
        "plateau_up_values": [1.5 - value for value in values],
        "plateau_up": plateau([1.5 - value for value in values], mode="max", factor=0.5, patience=3, threshold=1e-3),
    }
    with open("schedules.json", "w") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")


main()
