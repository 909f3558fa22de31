#!/usr/bin/env python3
"""Compares inference with ONNX Runtime's and PyTorch's on one thread: programs alternate, and medians of ratios count.

  python scripts/peers/compare_inference.py --model resnet18 --size 64 --batch 16 --rounds 5
  python scripts/peers/compare_inference.py --model mobilenet_v2              any of torchvision's classifiers

Weights are random; PyTorch runs in eval mode, eager and channels_last. Needs torch==2.13.0, torchvision==0.28.0,
onnx, onnxscript and onnxruntime.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time
import numpy as np
import onnxruntime
import torch
from pytorch_step import built

CLASSES = 8


def seconds_of(call, seconds):
    """The median of calls for about `seconds`, after three to warm up."""
    for _ in range(3):
        call()
    times, begun = [], time.perf_counter()
    while time.perf_counter() - begun < seconds or len(times) < 5:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=".build/release/cnn-dist")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    a = parser.parse_args()
    torch.set_num_threads(1)
    net, last = (built(a.model, 3, a.size, CLASSES).eval() for _ in range(2))
    images = torch.rand(a.batch, 3, a.size, a.size) * 2 - 1
    last, laid = last.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "net.onnx")
        torch.onnx.export(net, (images,), path, input_names=["x"], dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    fed = {"x": np.ascontiguousarray(images.numpy())}
    environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}

    def ours():
        command = [a.program, "bench", "inference", "--model", a.model, "--size", str(a.size), "--batch", str(a.batch),
                   "--lanes", "1", "--seconds", str(a.seconds), "--json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)["batch_seconds"]

    ways = {"cnn-dist": ours,
            "ONNX Runtime": lambda: seconds_of(lambda: session.run(None, fed), a.seconds),
            "PyTorch eager": lambda: seconds_of(lambda: net(images), a.seconds),
            "PyTorch channels_last": lambda: seconds_of(lambda: last(laid), a.seconds)}
    figures = {name: [] for name in ways}
    with torch.inference_mode():
        for _ in range(a.rounds):
            for name, way in ways.items():
                figures[name].append(a.batch / way())
    print(f"{a.model} 3x{a.size}x{a.size}, batch {a.batch}, one thread, {a.rounds} rounds; ONNX Runtime {onnxruntime.__version__}, "
          f"PyTorch {torch.__version__}")
    for name, values in figures.items():
        ratios = [mine / theirs for mine, theirs in zip(figures["cnn-dist"], values)]
        print(f"  {name:21s} {statistics.median(values):8.1f} images/s ({min(values):.1f} to {max(values):.1f}); cnn-dist is "
              f"{statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    sys.exit(main())
