#!/usr/bin/env python3
"""Compares `cnn-dist bench reduce` with gloo, the collectives of PyTorch's DDP on CPUs, on two ranks of this machine.

  python scripts/peers/compare_reduce.py --rounds 5

Alternates the two; prints the bus bandwidth, 2 (n - 1) / n of the buffer a second, of both, and their ratio. Ours is a
reduce-scatter in tree order and an all-gather, gloo's its all_reduce.
"""
import argparse, json, os, statistics, subprocess, sys, time

ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} if os.geteuid() == 0 else {}


def gloo_rank(sizes, seconds):
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    times = {}
    for size in sizes:
        buffer = torch.zeros(size // 4)
        taken, enough = [], torch.zeros(1)
        end = time.perf_counter() + seconds
        while enough.item() == 0:
            start = time.perf_counter()
            dist.all_reduce(buffer)
            taken.append(time.perf_counter() - start)
            enough = torch.tensor([float(time.perf_counter() > end)])
            dist.broadcast(enough, 0)
        times[size] = statistics.median(taken[1:] or taken)
    if dist.get_rank() == 0:
        print(json.dumps(times))
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=".build/release/cnn-dist")
    parser.add_argument("--megabytes", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each size")
    parser.add_argument("--gloo-rank", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    sizes = [m << 20 for m in a.megabytes]
    if a.gloo_rank:
        return gloo_rank(sizes, a.seconds)

    def run(command):
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True,
                                         env=os.environ | ROOT).stdout)

    def ours():
        reduce = [a.program, "bench", "reduce", "--seconds", str(a.seconds), "--json"]
        for size in sizes:
            reduce += ["--bytes", str(size)]
        return {s["bytes"]: s["tree_seconds"] for s in run(["mpirun", "-np", "2", *reduce])["sizes"]}

    def gloo():
        options = ["--gloo-rank", "--seconds", str(a.seconds), "--megabytes", *map(str, a.megabytes)]
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", __file__, *options]
        return {int(size): t for size, t in run(torchrun).items()}

    rounds = [(ours(), gloo()) for _ in range(a.rounds)]
    print(f"two ranks, GB/s of bus bandwidth, medians of {a.rounds} rounds (least and greatest)")
    for size in sizes:
        rows = [[size / t[size] / 1e9 for t in r] for r in rounds]
        figures = [("cnn-dist", [r[0] for r in rows]), ("gloo", [r[1] for r in rows]), ("ratio", [r[0] / r[1] for r in rows])]
        print(f"  {size >> 20:4d} MB: " + ", ".join(
            f"{name} {statistics.median(v):.2f} ({min(v):.2f} to {max(v):.2f})" for name, v in figures))


if __name__ == "__main__":
    main()
