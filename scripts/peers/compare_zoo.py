#!/usr/bin/env python3
"""Compares the models of the zoo with torchvision's, from equal weights on equal images.

  python scripts/peers/compare_zoo.py --probe .build/release/step-probe            # all
  python scripts/peers/compare_zoo.py --models resnet50,vgg11_bn --seeds 7
  python scripts/peers/compare_zoo.py --digests Tests/ModelsTests/Golden/zoo.safetensors

Weights and images are made from their names (zoo_arrays.py), so none are stored. For each model, with four images of
64×64, the smallest that leave 2×2 pixels to each net's last batch norms:
  - names and number of its parameters;
  - evaluation mode, our algorithm of convolutions by rule: class scores as validation computes them and as `predict`
    does (batch norms folded), at most 1e-4 of the largest away from PyTorch's in fp64;
  - training mode, dropout and stochastic depth off: the loss and each parameter's gradient at most 3 times as far from
    PyTorch's fp64 as its fp32 is, by the norm of the difference over the norm. Rounding carries a value across the
    kink of a ReLU in about every third seed of MobileNetV2, and in every seed of DenseNets, in either program, and
    then errors are a thousand times as large. So one seed says nothing, nor does one way of rounding: PyTorch computes
    in fp32 by oneDNN, without it, and by oneDNN with channels last, the furthest of the three counts, and the
    ratio is taken seed by seed, then its median. What fp32 can't tell apart (2^-23) is the least that PyTorch's
    distance counts. The line counts seeds with a crossing, of ours and of oneDNN's. A bias before a batch norm has no
    gradient but rounding: its bound is 1e-5 of the largest gradient of all.
--convolution names our algorithm in training: `direct` unless told otherwise, which adds in the order of the
definition, as PyTorch's; Winograd's (`auto`) rounds more, as it would in PyTorch.

Prints a line for each model and ends with status 1 when a bound is missed. --digests writes what ModelsTests
compares in CI instead, from PyTorch's fp64: class scores, loss, and of each gradient its norm, one projection, and
how far PyTorch's fp32 is away.
Needs torch==2.13.0, torchvision==0.28.0, numpy, safetensors.
"""
import argparse, os, subprocess, sys, tempfile, types, warnings
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file

import zoo_arrays

# oneDNN on a CPU has no TF32, and says so.
warnings.filterwarnings("ignore", message="TF32")

# torchvision's registrations need its compiled operators, which the classifiers do not use.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
import torchvision
from torchvision.ops import StochasticDepth

CLASSES, SIZE, IMAGES = 4, 64, 4  # an image of each class: the probe counts classes by the labels
EPSILON = 2.0**-23
CROSSED = 1e-4  # a greater error of a gradient than rounding alone makes
MODELS = """alexnet vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn googlenet resnet18 resnet34 resnet50
resnet101 resnext50_32x4d wide_resnet50_2 squeezenet1_0 squeezenet1_1 densenet121 densenet169 mobilenet_v2
mobilenet_v3_small mobilenet_v3_large efficientnet_b0 efficientnet_b1 efficientnet_b2 convnext_tiny""".split()
# CI has no time for the others: more of the same layers.
IN_CI = """alexnet vgg11_bn googlenet resnet18 resnet50 resnext50_32x4d squeezenet1_0 squeezenet1_1 densenet121
mobilenet_v2 mobilenet_v3_small mobilenet_v3_large efficientnet_b0 convnext_tiny""".split()
# Others than 0: seeds at which fewer kinks are crossed.
SEEDS = {"mobilenet_v2": 7, "googlenet": 1}


def build(name, seed):
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        net = getattr(torchvision.models, name)(num_classes=CLASSES, **options)
    net = net.to_empty(device="cpu")
    for module in net.modules():
        if isinstance(module, (torch.nn.Dropout, StochasticDepth)):
            module.p = 0.0
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0  # running statistics stay, whatever ran before
    state = {k: torch.zeros(v.shape, dtype=v.dtype) if k.endswith("num_batches_tracked") else
             torch.from_numpy(zoo_arrays.array(k, tuple(v.shape), seed)) for k, v in net.state_dict().items()}
    net.load_state_dict(state)
    return net


def given(seed):
    return torch.from_numpy(zoo_arrays.images(IMAGES, 3, SIZE, seed)), torch.arange(CLASSES)


def gradients(net, images, labels):
    net.train()
    net.zero_grad()
    loss = F.cross_entropy(net(images), labels)
    loss.backward()
    return loss.item(), {n: p.grad.double().numpy().copy() for n, p in net.named_parameters()}


def run(net, images, labels, dtype):
    """Class scores in evaluation mode, loss and gradients in training mode. The net stays of that type."""
    net, images = net.to(dtype), images.to(dtype)
    with torch.no_grad():
        scores = net.eval()(images).double().numpy()
    return scores, *gradients(net, images, labels)


def roundings(net, images, labels):
    """Losses and gradients in fp32, by three ways of rounding: the first is PyTorch's own choice."""
    net = net.float()
    found = [gradients(net, images, labels)]
    with torch.backends.mkldnn.flags(enabled=False):
        found.append(gradients(net, images, labels))
    found.append(gradients(net.to(memory_format=torch.channels_last),
                           images.to(memory_format=torch.channels_last), labels))
    return found


def ours(probe, convolution, name, net, images, labels):
    with tempfile.TemporaryDirectory() as folder:
        source, result, config = (os.path.join(folder, f) for f in ("in.safetensors", "out.safetensors", "config.yaml"))
        arrays = {f"weights.{k}": v.float().numpy() for k, v in net.state_dict().items() if v.is_floating_point()}
        save_file(arrays | {"images": images.numpy(), "labels": labels.numpy()}, source)
        with open(config, "w") as f:
            f.write(f"model: {{name: {name}, dropout: 0.0, stochastic_depth: 0.0}}\n"
                    f"training: {{batch: {IMAGES}, microbatch: {IMAGES}}}\n"
                    f"engine: {{convolution: {convolution}}}\n"
                    "optimizer: {name: sgd, learning_rate: 0.001}\n")
        subprocess.run([probe, source, result, config, "scores"], check=True)
        arrays = load_file(result)
    found = {k.removeprefix("gradient."): v.astype(np.float64) for k, v in arrays.items() if k.startswith("gradient.")}
    scores = [arrays[k].astype(np.float64) for k in ("scores", "folded")]
    return scores, float(arrays["loss"][0]), found


def distance(a, b):
    return float(np.linalg.norm(a - b))


def compare(probe, convolution, name, seeds):
    missed, pairs, scores_error, losses = [], {}, 0.0, []
    for seed in range(seeds):
        images, labels = given(seed)
        net = build(name, seed)
        mine = ours(probe, convolution, name, net, images, labels)
        theirs = roundings(net, images, labels)
        exact = run(net, images, labels, torch.float64)
        if set(mine[2]) != set(exact[2]):
            print(f"{name:20s} other parameters: {sorted(set(mine[2]) ^ set(exact[2]))[:5]}; MISSED", flush=True)
            return 1
        for scores in mine[0]:
            scores_error = max(scores_error, np.abs(scores - exact[0]).max() / np.abs(exact[0]).max())
        losses.append([abs(loss - exact[1]) / exact[1] for loss in (mine[1], *(loss for loss, _ in theirs))])
        largest = max(np.abs(g).max() for g in exact[2].values())
        for array, gradient in exact[2].items():
            if np.abs(gradient).max() < 1e-9 * largest:
                if np.abs(mine[2][array]).max() > 1e-5 * largest:
                    missed.append(f"{array}: zero in theory, got {np.abs(mine[2][array]).max():.1e} of {largest:.1e}")
                continue
            size = float(np.linalg.norm(gradient))
            pairs.setdefault(array, []).append(
                [distance(found[array], gradient) / size for found in (mine[2], *(g for _, g in theirs))])
    medians = {array: float(np.median([my / max(EPSILON, *their) for my, *their in of])) for array, of in pairs.items()}
    worst = max((ratio, array) for array, ratio in medians.items())
    crossed = [sum(max(of[seed][program] for of in pairs.values()) > CROSSED for seed in range(seeds))
               for program in (0, 1)]
    for array, ratio in medians.items():
        if ratio > 3:
            of = "; ".join(" ".join(f"{error:.1e}" for error in errors) for errors in pairs[array])
            missed.append(f"{array}: {ratio:.2f} times PyTorch fp32's error (ours and its three, seed by seed: {of})")
    if scores_error > 1e-4:
        missed.append(f"class scores are {scores_error:.1e} of the largest away")
    loss = float(np.median([my / max(EPSILON, *their) for my, *their in losses]))
    if loss > 3:
        missed.append(f"loss: {loss:.2f} times PyTorch fp32's error ({losses})")
    print(f"{name:20s} {len(medians):3d} arrays, {seeds} seeds: scores {scores_error:.1e}; loss {loss:.2f}, gradients "
          f"{np.median(list(medians.values())):.2f} times PyTorch fp32's error in the median, {worst[0]:.2f} at worst "
          f"({worst[1]}); a gate crossed in {crossed[0]} and {crossed[1]} seeds; {'ok' if not missed else 'MISSED'}",
          flush=True)
    for line in missed[:12]:
        print(f"  {line}")
    return 1 if missed else 0


def digest(name, seed):
    """What ModelsTests compares; gradients in the order of their names' bytes: each one's norm, its product with a
    random vector, and how far the furthest way of rounding is away."""
    images, labels = given(seed)
    net = build(name, seed)
    scores, loss, exact = run(net, images, labels, torch.float64)
    rounded = roundings(net, images, labels)
    rows = []
    for array in sorted(exact, key=lambda n: n.encode()):
        signs = zoo_arrays.symmetric(f"{seed}/signs/{array}", exact[array].size).astype(np.float64)
        rows.append((np.linalg.norm(exact[array]), signs @ exact[array].ravel(),
                     max(distance(found[array], exact[array]) for _, found in rounded)))
    return {f"{name}.seed": np.array([seed], np.int64), f"{name}.scores": scores.astype(np.float32),
            f"{name}.loss": np.array([loss], np.float32), f"{name}.gradients": np.array(rows, np.float32)}


def digests(names, path):
    found = {}
    for name in names:
        found |= digest(name, SEEDS.get(name, 0))
        rows = found[f"{name}.gradients"]
        rows = rows[rows[:, 0] > 1e-6 * rows[:, 0].max()]
        print(f"{name}: {len(rows)} arrays, fp32 at most {(rows[:, 2] / rows[:, 0]).max():.1e} of a norm away", flush=True)
    save_file(found, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probe", default=".build/release/step-probe")
    parser.add_argument("--convolution", default="direct")
    parser.add_argument("--models", help="names with commas between them")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--digests", metavar="FILE", help="write this file in the place of comparing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.digests:
        digests(arguments.models.split(",") if arguments.models else IN_CI, arguments.digests)
        return
    names = arguments.models.split(",") if arguments.models else MODELS
    missed = sum(compare(arguments.probe, arguments.convolution, name, arguments.seeds) for name in names)
    print(f"{len(names) - missed} of {len(names)} models agree")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
