#!/usr/bin/env python3
"""Compares optimizer steps with PyTorch's, from equal weights on equal images.

  python scripts/peers/compare_steps.py --probe .build/release/step-probe

For the seed CNN and ResNet-18 (torchvision's), with one microbatch of 64 images and with four of 16
and class weights:
  - gradients of step 1, array by array: the error against PyTorch in fp64 may be at most 3 times that
    of PyTorch in fp32 (arrays whose gradient is zero in theory: below an absolute bound). The ratio is taken
    seed by seed, then its median: in nearly half of all seeds rounding carries a value across the kink of a
    ReLU or changes which value wins a pool, in either program, often in both at the same place, and that
    one gate changes the gradients below it by 1e-3 to 1e-1. The table counts such seeds of both;
  - the loss of 20 AdamW steps, the furthest that it comes from fp64's: the median over seeds may be at most
    PyTorch's own spread, the furthest that its fp32 comes from its fp64 at any of these seeds. (One seed
    says little: rounding grows by chaos, in either program.)
Prints a table and ends with status 1 when a bound is missed.

--convolution names our algorithm (engine.convolution), `direct` unless told otherwise: sums in the order of
the definition, as PyTorch's. Winograd's transforms (`auto`) round several times as much (at most 1e-5 of the
largest output, which the kernels' tests hold them to), so more values cross the kink of a ReLU or change
places in a pool, and single gradients differ by 1e-3 to 1e-2; what training makes of that is shown by
accuracy over seeds, not here.

--precision bf16 (or auto) compares engine.precision with PyTorch's bf16 autocast in the place of its fp32, by the
same bounds: both are measured against fp64, and gradients that are zero in theory may be 3 times PyTorch's own.
Needs torch==2.13.0, torchvision==0.28.0, numpy, safetensors.
"""
import argparse, copy, os, subprocess, sys, tempfile, types
import numpy as np
import torch, torch.nn as nn
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file

# torchvision's registrations need its compiled operators, which the classifiers do not use.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
import torchvision

CLASSES, SIZE, IMAGES, STEPS = 8, 64, 64, 20
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.01
CROSSED = 1e-4  # a greater error of a gradient than rounding alone makes


class SeedCNN(nn.Module):
    def __init__(self):
        super().__init__()
        channels = 3
        for number, out in enumerate((32, 64, 128), 1):
            block = nn.Module()
            block.conv, block.norm = nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out)
            self.add_module(f"block{number}", block)
            channels = out
        self.hidden = nn.Linear(128 * (SIZE // 8) ** 2, 256)
        self.classifier = nn.Linear(256, CLASSES)

    def forward(self, x):
        for block in (self.block1, self.block2, self.block3):
            x = F.max_pool2d(F.relu(block.norm(block.conv(x))), 2)
        return self.classifier(F.relu(self.hidden(x.flatten(1))))


MODELS = {
    "seed_cnn": SeedCNN,
    "resnet18": lambda: torchvision.models.resnet18(num_classes=CLASSES),
}
# A bias before a batch norm moves nothing: its gradient is the rounding of a sum of zeros.
ZERO_GRADIENTS = ("block1.conv.bias", "block2.conv.bias", "block3.conv.bias")
ZERO_BOUND = 1e-5


def train(net, images, labels, microbatch, weights, dtype, steps, rounds=False):
    """Losses of the steps and the gradients of the first, with the gradient summed over microbatches."""
    net = copy.deepcopy(net).to(dtype).train()
    images, weights = images.to(dtype), None if weights is None else weights.to(dtype)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    denominator = len(labels) if weights is None else weights[labels].sum()
    losses, gradients = [], None
    for _ in range(steps):
        optimizer.zero_grad()
        total = 0.0
        for start in range(0, len(labels), microbatch):
            part = slice(start, start + microbatch)
            with torch.autocast("cpu", torch.bfloat16, enabled=rounds):
                scores = net(images[part])
            loss = F.cross_entropy(scores.to(dtype), labels[part], weight=weights, reduction="sum") / denominator
            loss.backward()
            total += loss.item()
        if gradients is None:
            gradients = {n: p.grad.double().numpy().copy() for n, p in net.named_parameters()}
        optimizer.step()
        losses.append(total)
    return np.array(losses), gradients


def ours(probe, engine, name, net, images, labels, microbatch, weights, steps):
    with tempfile.TemporaryDirectory() as folder:
        given, result, config = (os.path.join(folder, f) for f in ("in.safetensors", "out.safetensors", "config.yaml"))
        arrays = {f"weights.{k}": v.numpy() for k, v in net.state_dict().items() if v.dtype == torch.float32}
        save_file(arrays | {"images": images.numpy(), "labels": labels.numpy()}, given)
        class_weights = [] if weights is None else [float(w) for w in weights]
        with open(config, "w") as f:
            f.write(
                f"model: {{name: {name}, dropout: 0.0}}\n"
                f"training: {{batch: {IMAGES}, microbatch: {microbatch}}}\n"
                f"loss: {{class_weights: {class_weights}}}\n"
                f"engine: {{{engine}}}\n"
                f"optimizer: {{name: adamw, learning_rate: {LEARNING_RATE}, weight_decay: {WEIGHT_DECAY}}}\n")
        subprocess.run([probe, given, result, config, str(steps)], check=True)
        arrays = load_file(result)
    gradients = {k.removeprefix("gradient."): v.astype(np.float64) for k, v in arrays.items() if k.startswith("gradient.")}
    return arrays["loss"].astype(np.float64), gradients


def error(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


def case(probe, engine, rounds, name, microbatch, weighted, seed, steps):
    """For one seed: (losses, gradients) of fp64, of PyTorch's fp32 or bf16 and of ours."""
    torch.manual_seed(seed)
    net = MODELS[name]()
    images, labels = torch.randn(IMAGES, 3, SIZE, SIZE), torch.randint(0, CLASSES, (IMAGES,))
    labels[0] = CLASSES - 1  # the probe counts classes by the largest label
    weights = torch.linspace(0.5, 2.0, CLASSES) if weighted else None
    exact = train(net, images, labels, microbatch, weights, torch.float64, steps)
    theirs = train(net, images, labels, microbatch, weights, torch.float32, steps, rounds)
    mine = ours(probe, engine, name, net, images, labels, microbatch, weights, steps)
    assert set(mine[1]) == set(exact[1]), set(mine[1]) ^ set(exact[1])
    return exact, theirs, mine


def compare(probe, engine, rounds, name, microbatch, weighted, seeds):
    missed, errors, spreads, distances = 0, {}, [], []
    for seed in range(seeds):
        exact, theirs, mine = case(probe, engine, rounds, name, microbatch, weighted, seed, STEPS)
        spreads.append(np.abs(theirs[0] - exact[0]).max())
        distances.append(np.abs(mine[0] - exact[0]).max())
        for array, gradient in exact[1].items():
            if array in ZERO_GRADIENTS:
                size = np.abs(mine[1][array]).max()
                bound = 3 * np.abs(theirs[1][array]).max() if rounds else ZERO_BOUND
                if size > bound:
                    missed += 1
                    print(f"  {array}: zero in theory, got {size:.2e} (bound {bound:.0e})")
                continue
            errors.setdefault(array, []).append((error(mine[1][array], gradient), error(theirs[1][array], gradient)))
    ratios = {array: float(np.median([my / their for my, their in pairs])) for array, pairs in errors.items()}
    worst = max((ratio, array) for array, ratio in ratios.items())
    for array, ratio in ratios.items():
        if ratio > 3:
            missed += 1
            pairs = "; ".join(f"{my:.1e} {their:.1e}" for my, their in errors[array])
            print(f"  {array}: {ratio:.2f} times PyTorch {'bf16' if rounds else 'fp32'}'s error (ours and theirs, seed by seed: {pairs})")
    crossed = [sum(max(pairs[seed][program] for pairs in errors.values()) > CROSSED for seed in range(seeds))
               for program in (0, 1)]
    missed += np.median(distances) > max(spreads)
    print(f"{name:10s} microbatch {microbatch:2d} class weights {str(weighted):5s}: {len(errors)} arrays, {seeds} seeds: error "
          f"{np.median(list(ratios.values())):.2f} times PyTorch's in the median, {worst[0]:.2f} at worst ({worst[1]}), "
          f"{np.median([my for pairs in errors.values() for my, _ in pairs]):.1e} and "
          f"{np.median([their for pairs in errors.values() for _, their in pairs]):.1e} in the median, "
          f"a gate crossed in {crossed[0]} and {crossed[1]} seeds; loss of {STEPS} steps "
          f"at most {' '.join(f'{d:.1e}' for d in distances)} from fp64 (median {np.median(distances):.1e}), PyTorch {'bf16' if rounds else 'fp32'} "
          f"{' '.join(f'{d:.1e}' for d in spreads)} (median {np.median(spreads):.1e}); "
          f"{'ok' if not missed else f'{missed} MISSED'}", flush=True)
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", default=".build/release/step-probe")
    parser.add_argument("--convolution", default="direct")
    parser.add_argument("--precision", choices=("fp32", "bf16", "auto"), default="fp32")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seeds", type=int, default=11)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rounds = arguments.precision != "fp32"
    engine = f"precision: {arguments.precision}" if rounds else f"convolution: {arguments.convolution}"
    missed = sum(compare(arguments.probe, engine, rounds, name, microbatch, weighted, arguments.seeds)
                 for name in arguments.models.split(",") for microbatch, weighted in ((16, True), (64, False)))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
