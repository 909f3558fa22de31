#!/usr/bin/env python3
"""Takes networks of the zoo from torchvision to cnn-dist to ONNX Runtime and back, and compares class scores.

  python scripts/peers/compare_round_trips.py                          # every family
  python scripts/peers/compare_round_trips.py --models resnet18 vgg11_bn --program .build/release/cnn-dist

For each model, random weights and statistics of torchvision's go out by torch.save and by safetensors, through
`cnn-dist export onnx`, past onnx.checker and into ONNX Runtime: the logits must differ by at most 1e-4 of the largest;
`export safetensors` must give torchvision the same bits. With --train a run of a few steps goes the other way: its
weights load into torchvision with strict=True, and torchvision, ONNX Runtime and `cnn-dist predict` agree on images.
timm's names are compared array by array. Needs torch, torchvision, timm, onnx, onnxruntime, safetensors.
Exit status 1 where anything differs.
"""
import argparse, json, os, subprocess, sys, tempfile, types

import numpy as np
import torch

# torchvision's registrations need its compiled operators, which the classifiers do not use.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
import torchvision
import onnx
import onnxruntime
from safetensors.torch import load_file, save_file

TORCHVISION = [
    "alexnet", "vgg11", "vgg11_bn", "googlenet", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2",
    "densenet121", "squeezenet1_0", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
    "efficientnet_b0", "convnext_tiny",
]
TIMM = {
    "resnet18": "resnet18", "vgg11": "vgg11", "densenet121": "densenet121", "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_small": "mobilenetv3_small_100", "mobilenet_v3_large": "mobilenetv3_large_100",
    "efficientnet_b0": "efficientnet_b0", "convnext_tiny": "convnext_tiny",
}
CLASSES = 10


def program(a, *arguments):
    done = subprocess.run([a.program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"cnn-dist {' '.join(arguments[:4])}…: {done.stderr.strip()[:300]}")
    return done.stdout


def peer(name, classes=CLASSES):
    more = {"aux_logits": False, "transform_input": False, "init_weights": False} if name == "googlenet" else {}
    return getattr(torchvision.models, name)(num_classes=classes, **more).eval()


def shaken(net):
    """Weights whose logits differ from image to image, and statistics that are not 0 and 1."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    return net


def run_onnx(path, images):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    # Two batch sizes: it is free.
    first = session.run(None, {"images": images[:1]})[0]
    whole = session.run(None, {"images": images})[0]
    assert np.abs(whole[:1] - first).max() <= 1e-5 * np.abs(first).max()
    return whole


def difference(got, expected):
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def outward(a, name, folder):
    """torchvision → .pth and safetensors → here → ONNX → ONNX Runtime; and → safetensors → torchvision."""
    torch.manual_seed(1)
    net = shaken(peer(name))
    images = torch.randn(3, 3, a.size, a.size)
    with torch.inference_mode():
        expected = net(images).numpy()
    torch.save(net.state_dict(), f"{folder}/a.pth")
    save_file({key: value.contiguous() for key, value in net.state_dict().items()}, f"{folder}/a.safetensors")
    worst = 0.0
    for kind in ("pth", "safetensors"):
        program(
            a, "export", "onnx", "--model", name, "--weights", f"{folder}/a.{kind}", "--classes", str(CLASSES),
            "--size", str(a.size), "--raw-input", "--out", f"{folder}/{kind}.onnx")
        worst = max(worst, difference(run_onnx(f"{folder}/{kind}.onnx", images.numpy()), expected))
    program(
        a, "export", "safetensors", "--model", name, "--weights", f"{folder}/a.pth", "--classes", str(CLASSES),
        "--size", str(a.size), "--out", f"{folder}/back.safetensors")
    back = load_file(f"{folder}/back.safetensors")
    peer(name).load_state_dict(back, strict=True)
    same = all(torch.equal(back[key], value) for key, value in net.state_dict().items() if value.is_floating_point())
    return worst, same


def inward(a, name, folder):
    """A run here → torchvision, strict → the same scores as ONNX Runtime and `predict` on images that weren't seen."""
    run, size = f"{folder}/run", a.size
    program(
        a, "train", "--out", run, "--set", f"model.name={name}", "--set", f"data.image.size={size}", "--set",
        f"data.image.resize={size}", "--set", "data.synthetic.images=64", "--set", "data.synthetic.kinds=4", "--set",
        "training.epochs=1", "--set", "training.batch=16", "--set", "training.microbatch=8", "--set",
        "optimizer.learning_rate=0.001")
    program(a, "export", "safetensors", "--run", run, "--out", f"{folder}/run.safetensors")
    program(a, "export", "onnx", "--run", run, "--out", f"{folder}/run.onnx")
    net = peer(name, classes=4)
    net.load_state_dict(load_file(f"{folder}/run.safetensors"), strict=True)
    facts = {entry.key: entry.value for entry in onnx.load(f"{folder}/run.onnx").metadata_props}
    mean, deviation = (torch.tensor(json.loads(facts[key])).view(3, 1, 1) for key in ("mean", "deviation"))
    pixels = torch.randint(0, 256, (5, size, size, 3), dtype=torch.uint8)
    save_file({"images": pixels}, f"{folder}/images.safetensors")
    images = pixels.permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        expected = net((images - mean) / deviation).numpy()
    scores = run_onnx(f"{folder}/run.onnx", images.contiguous().numpy())
    program(a, "predict", "--run", run, f"{folder}/images.safetensors", "--out", f"{folder}/predicted.safetensors")
    here = load_file(f"{folder}/predicted.safetensors")["probabilities"].numpy()
    return difference(scores, expected), difference(here, torch.softmax(torch.tensor(expected), 1).numpy())


def from_timm(a, name, folder):
    """Whether timm's arrays arrive under torchvision's names: both lists are in the order of the modules."""
    import timm
    arrays = timm.create_model(TIMM[name], num_classes=CLASSES).state_dict()
    save_file({key: value.contiguous() for key, value in arrays.items()}, f"{folder}/timm.safetensors")
    program(
        a, "export", "safetensors", "--model", name, "--weights", f"{folder}/timm.safetensors", "--classes", str(CLASSES),
        "--size", str(a.size), "--out", f"{folder}/timm-here.safetensors")
    here = load_file(f"{folder}/timm-here.safetensors")
    expected = peer(name).state_dict()
    assert len(expected) == len(arrays)
    return all(
        torch.equal(here[key].flatten(), value.flatten()) and here[key].shape == expected[key].shape
        for key, value in zip(expected, arrays.values()) if value.is_floating_point())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=".build/release/cnn-dist")
    parser.add_argument("--models", nargs="+", default=TORCHVISION)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--train", action="store_true", help="also train a run here and take it to torchvision")
    a = parser.parse_args()
    torch.set_num_threads(1)
    bad = 0
    print(f"{'model':<20} {'to ONNX Runtime':>16} {'back, same bits':>16} {'timm':>6} {'run: ONNX':>10} {'predict':>9}")
    for name in a.models:
        with tempfile.TemporaryDirectory() as folder:
            try:
                worst, same = outward(a, name, folder)
                timm = from_timm(a, name, folder) if name in TIMM else None
                run, here = inward(a, name, folder) if a.train else (0.0, 0.0)
            except Exception as error:
                bad += 1
                print(f"{name:<20} {error}", flush=True)
                continue
        isBad = not (worst <= 1e-4 and run <= 1e-4 and here <= 1e-4) or not same or timm is False
        bad += isBad
        words = {None: "-", True: "same", False: "OTHER"}
        trained = f"{run:10.1e} {here:9.1e}" if a.train else f"{'-':>10} {'-':>9}"
        print(
            f"{name:<20} {worst:16.1e} {'yes' if same else 'NO':>16} {words[timm]:>6} {trained}{'  BAD' if isBad else ''}",
            flush=True)
    print(f"{len(a.models) - bad} of {len(a.models)} models agree")
    sys.exit(1 if bad else 0)


main()
