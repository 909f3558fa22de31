#!/usr/bin/env python3
"""Times one training step (forward, backward, SGD with momentum) in PyTorch, on one thread.

  python scripts/peers/pytorch_step.py --model resnet18 --size 64 --batch 32 --mode channels_last
  torchrun --nproc-per-node 2 scripts/peers/pytorch_step.py --batch 32 --mode channels_last     DDP, 32 images a rank

Prints one JSON object, as `cnn-dist bench step --json` does; images a second are of all ranks. Needs torch==2.13.0, torchvision==0.28.0.
"""
import argparse, json, os, resource, statistics, sys, time, types
import torch, torch.nn as nn

# torchvision's registrations need its compiled operators, which the classifiers do not use.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
import torchvision


def seed_cnn(channels, size, classes):
    layers = []
    for out in (32, 64, 128):
        layers += [nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
        channels = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * (size // 8) ** 2, 256), nn.ReLU(), nn.Dropout(0.5),
                         nn.Linear(256, classes))


def lenet5(channels, size, classes):
    side = (size // 2 - 4) // 2
    return nn.Sequential(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * side * side, 120), nn.ReLU(), nn.Linear(120, 84),
                         nn.ReLU(), nn.Linear(84, classes))


def resnet18(channels, size, classes):
    net = torchvision.models.resnet18(num_classes=classes)
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    return net


def resnet18_small(channels, size, classes):
    net = resnet18(channels, size, classes)
    net.conv1, net.maxpool = nn.Conv2d(channels, 64, 3, 1, 1, bias=False), nn.Identity()
    return net


MODELS = {f.__name__: f for f in (seed_cnn, lenet5, resnet18, resnet18_small)}


def built(name, channels, size, classes):
    """A model of the above, or any of torchvision's by its name, with what it drops in training; three channels."""
    if name in MODELS:
        return MODELS[name](channels, size, classes)
    if channels != 3:
        sys.exit(f"torchvision's {name} expects 3 channels, got {channels}")
    plain = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return torchvision.models.get_model(name, num_classes=classes, **plain)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="seed_cnn",
                        help="one of " + ", ".join(MODELS) + ", or a classifier of torchvision's")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--classes", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--mode", choices=("eager", "channels_last", "compile", "eager_bf16", "channels_last_bf16"),
                        default="eager", help="…_bf16: forward and loss in bf16 autocast")
    parser.add_argument("--seconds", type=float, default=6.0)
    a = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = built(a.model, a.channels, a.size, a.classes)
    x, y = torch.randn(a.batch, a.channels, a.size, a.size), torch.randint(0, a.classes, (a.batch,))
    if not a.mode.startswith("eager"):
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    model = torch.compile(net) if a.mode == "compile" else net
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks > 1:
        torch.distributed.init_process_group("gloo")
        model = nn.parallel.DistributedDataParallel(model)
    optimizer, loss_of = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9), nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=a.mode.endswith("bf16")):
            loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    begin = time.perf_counter()
    step()
    count = torch.tensor([max(5, int(a.seconds / (time.perf_counter() - begin)))])
    if ranks > 1:
        torch.distributed.broadcast(count, 0)
    times = []
    for _ in range(int(count)):
        begin = time.perf_counter()
        step()
        times.append(time.perf_counter() - begin)
    median = statistics.median(times)
    if ranks == 1 or torch.distributed.get_rank() == 0:
        print(json.dumps({"model": a.model, "mode": a.mode, "batch": a.batch, "ranks": ranks, "steps": len(times),
                          "step_seconds": median, "images_per_second": ranks * a.batch / median,
                          "mean_images_per_second": ranks * a.batch / statistics.mean(times),
                          "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
    if ranks > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
