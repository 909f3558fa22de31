#!/usr/bin/env python3
"""Compares two ranks, and two lanes, with two independent one-lane processes: what communication costs.

  python scripts/peers/compare_scaling.py --model resnet18 --batch 64 --rounds 7
  python scripts/peers/compare_scaling.py --model resnet18 --batch 64 --ddp     PyTorch's DDP in the same rounds

Each round runs them in turn; every core computes half of the batch in all of them. Synchronous training waits for the
slower core in each step, which independent processes don't: `mpirun -np 2 cnn-dist bench step --pairs 200 --beside
nothing` tells what that costs from what communication does. Needs two cores and mpirun; as root, OpenMPI's two
variables that allow it are set here.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys

PEER = str(pathlib.Path(__file__).with_name("pytorch_step.py"))

ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} if os.geteuid() == 0 else {}
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")} | ROOT


def start(command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)


def finish(process):
    output, _ = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{process.args} ended with status {process.returncode}")
    # Over all steps: a barrier pays for what disturbs either core, and a median step would hide that.
    return json.loads(output)["mean_images_per_second"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=".build/release/cnn-dist")
    parser.add_argument("--model", default="seed_cnn")
    parser.add_argument("--size", default="64")
    parser.add_argument("--batch", type=int, default=128, help="images of a step over both cores")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", default="5")
    parser.add_argument("--ddp", action="store_true", help="PyTorch's DDP too (channels_last, one thread a process)")
    a = parser.parse_args()

    def bench(batch, lanes):
        return [a.program, "bench", "step", "--model", a.model, "--size", a.size, "--batch", str(batch), "--lanes", str(lanes),
                "--seconds", a.seconds, "--json"]

    def independent():
        return sum(finish(p) for p in [start(["taskset", "-c", str(core), *bench(a.batch // 2, 1)]) for core in (0, 1)])

    ways = {"two processes": independent,
            "two ranks": lambda: finish(start(["mpirun", "-np", "2", *bench(a.batch, 1)])),
            "two lanes": lambda: finish(start(bench(a.batch, 2)))}
    if a.ddp:
        peer = [PEER, "--model", a.model, "--size", a.size, "--batch", str(a.batch // 2), "--mode", "channels_last",
                "--seconds", a.seconds]
        ways["PyTorch, two processes"] = lambda: sum(
            finish(p) for p in [start(["taskset", "-c", str(core), sys.executable, *peer]) for core in (0, 1)])
        ways["PyTorch DDP"] = lambda: finish(start(
            [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *peer]))
    figures = {name: [] for name in ways}
    for _ in range(a.rounds):
        for name, way in ways.items():
            figures[name].append(way())
    base = figures["two processes"]
    print(f"{a.model} 3x{a.size}x{a.size}, {a.batch} images a step over two cores, {a.rounds} rounds")
    for name, values in figures.items():
        ratios = [v / b for v, b in zip(values, base)]
        print(f"  {name:22s} {statistics.median(values):8.1f} images/s ({min(values):.1f} to {max(values):.1f}), "
              f"{statistics.median(ratios):.3f} of two processes ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
