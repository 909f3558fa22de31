#!/usr/bin/env python3
"""Compares training steps with PyTorch's on one thread: programs alternate, and medians of ratios count. It is what
`cnn-dist bench step --compare pytorch` runs.

  python scripts/peers/compare_speed.py --model seed_cnn --batch 64 --microbatch 16 --rounds 5
  python scripts/peers/compare_speed.py --precision fp32,bf16,auto --modes eager_bf16,channels_last_bf16
  python scripts/peers/compare_speed.py --model resnet18 --batch 32 --isa avx2     both sides held to AVX2

Whatever stands behind `--` is for cnn-dist. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are taken out of the environment. Needs what pytorch_step.py needs.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def run(command, isa):
    environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    environment["OMP_NUM_THREADS"] = "1"
    if isa:
        environment |= {"CNN_DIST_ISA": isa, "ATEN_CPU_CAPABILITY": isa, "ONEDNN_MAX_CPU_ISA": isa.upper()}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            sys.exit(f"{' '.join(command)} ended with status {status}")
        output.seek(0)
        return json.loads(output.read()) | {"peak_megabytes": usage.ru_maxrss / 1024}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=".build/release/cnn-dist")
    parser.add_argument("--model", default="seed_cnn")
    parser.add_argument("--size", default="64")
    parser.add_argument("--channels", default="3")
    parser.add_argument("--classes", default="8")
    parser.add_argument("--batch", default="64")
    parser.add_argument("--microbatch", default="16")
    parser.add_argument("--modes", default="eager,channels_last", help="PyTorch modes, separated by commas")
    parser.add_argument("--precision", default="fp32", help="of ours (bench step --precision), separated by commas")
    parser.add_argument("--isa", choices=("avx2",), help="the instruction set of both sides, below what the CPU has")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", default="5")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    own, more = sys.argv[1:], []
    if "--" in own:
        own, more = own[:own.index("--")], own[own.index("--") + 1:]
    a = parser.parse_args(own)
    same = ["--model", a.model, "--size", a.size, "--channels", a.channels, "--classes", a.classes, "--batch", a.batch,
            "--seconds", a.seconds]
    ours = {f"ours {p}": [a.program, "bench", "step", *same, "--microbatch", a.microbatch, "--lanes", "1", "--precision", p, "--json", *more]
            for p in a.precision.split(",")}
    peers = {m: [sys.executable, os.path.join(HERE, "pytorch_step.py"), *same, "--mode", m] for m in a.modes.split(",")}
    programs = ours | peers
    figures, memory = {name: [] for name in programs}, {}
    for _ in range(a.rounds):
        for name, command in programs.items():
            result = run(command, a.isa)
            figures[name].append(result["images_per_second"])
            memory[name] = result["peak_megabytes"]
    best = max(peers, key=lambda mode: statistics.median(figures[mode]))
    ratios = {mine: statistics.median(x / y for x, y in zip(figures[mine], figures[best])) for mine in ours}
    if a.json:
        print(json.dumps({
            "model": a.model, "batch": int(a.batch), "microbatch": int(a.microbatch), "rounds": a.rounds, "best": best,
            "ratios": ratios, "images_per_second": figures, "peak_megabytes": memory}))
        return
    print(f"{a.model} {a.channels}x{a.size}x{a.size}, batch {a.batch}, microbatch {a.microbatch}, one thread, {a.isa or 'native'}, {a.rounds} rounds")
    for name, values in figures.items():
        line = f"  {name:14s} {statistics.median(values):8.1f} images/s ({min(values):.1f} to {max(values):.1f}), peak {memory[name]:.0f} MB"
        for mine in ours if name in peers else list(ours)[:1] if name != list(ours)[0] else []:
            r = [x / y for x, y in zip(figures[mine], values)]
            line += f"; {mine} / {name} = {statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})"
        print(line)
    for mine, ratio in ratios.items():
        print(f"{mine} / the best of them ({best}) = {ratio:.2f}")


if __name__ == "__main__":
    main()
