#!/usr/bin/env python3
"""Compares `cnn-dist predict` on image files, end to end, with a PyTorch loop that decodes with PIL: programs alternate, and
medians of ratios count.

  python scripts/peers/compare_predict.py --run runs/cells --images cells/ --rounds 5            # one core each
  python scripts/peers/compare_predict.py --run runs/cells --images cells/ --rounds 5 --cores 0  # lanes, DataLoader workers

The run is of seed_cnn (64 x 64, 8 classes) or resnet18 with default resizing. PyTorch gets its weights, eval mode,
channels_last, batches of 64, and the same pixels: resized by PIL (bilinear, antialiased), cropped, normalised. Both write
class probabilities to a CSV file, and the largest difference is told. Time is that of whole processes; with --loop that of
the loop alone, which is what a long job comes to. Needs what compare_steps.py needs, and pillow.
"""
import argparse, csv, json, os, re, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))


def peer(a):
    """The loop with PyTorch and PIL; its own process."""
    begun = time.perf_counter()
    import numpy as np
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    sys.path.insert(0, HERE)
    from compare_steps import MODELS
    torch.set_num_threads(1 if a.workers == 0 else a.threads)
    facts = json.load(open(a.peer))
    net = MODELS[facts["model"]]().eval().to(memory_format=torch.channels_last)
    net.load_state_dict(load_file(facts["weights"]), strict=False)
    mean, deviation = (torch.tensor(facts[k]).view(3, 1, 1) for k in ("mean", "deviation"))
    size, shorter = facts["size"], facts["shorter"]

    class Cells(torch.utils.data.Dataset):
        def __len__(self):
            return len(facts["files"])

        def __getitem__(self, index):
            image = Image.open(facts["files"][index]).convert("RGB")
            k = shorter / min(image.size)
            image = image.resize(tuple(max(shorter, round(s * k)) for s in image.size), Image.BILINEAR)
            left, top = ((s - size) // 2 for s in image.size)
            image = image.crop((left, top, left + size, top + size))
            pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float().div_(255)
            return pixels.sub_(mean).div_(deviation)

    loader = torch.utils.data.DataLoader(Cells(), batch_size=64, num_workers=a.workers)
    started = time.perf_counter()
    with torch.inference_mode(), open(a.out, "w", newline="") as output:
        rows, place = csv.writer(output), 0
        for batch in loader:
            for row in torch.softmax(net(batch.contiguous(memory_format=torch.channels_last)), 1).tolist():
                rows.writerow([facts["files"][place], *row])
                place += 1
    print(json.dumps({"loop": time.perf_counter() - started, "whole": time.perf_counter() - begun}))


def timed(command, cores):
    environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    environment["OMP_NUM_THREADS"] = "1" if cores else str(os.cpu_count())
    bound = ["taskset", "-c", "0"] if cores else []
    begun = time.perf_counter()
    done = subprocess.run(bound + command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with status {done.returncode}\n{done.stderr}")
    return time.perf_counter() - begun, done


def facts_of(a):
    """What PyTorch has to know, from the run's configuration and the folder."""
    text = open(f"{a.run}/config.yaml").read()

    def numbers(key):
        found = re.search(rf"^    {key}:((?:\n *- .*)+| \[.*\])", text, re.M)[1]
        return [float(x) for x in re.findall(r"[0-9][0-9.e-]*", found)]

    files = [os.path.join(d, f) for d, _, found in os.walk(a.images) for f in found if f.lower().endswith((".jpg", ".jpeg", ".png"))]
    size = int(re.search(r"^    size: (\d+)", text, re.M)[1])
    return {"model": re.search(r"^model:(?:\n .*)*?\n  name: (\w+)", text, re.M)[1], "size": size, "shorter": size * 9 // 8,
            "weights": f"{a.run}/best/weights.safetensors", "mean": numbers("mean"), "deviation": numbers("deviation"),
            "files": sorted(files, key=str.encode)}


def difference(ours, theirs):
    def rows(path, skip):
        return {r[0]: [float(x) for x in r[skip:]] for r in csv.reader(open(path)) if r[0] != "path"}
    ours, theirs = rows(ours, 3), rows(theirs, 1)
    assert list(ours) == list(theirs), "other images, or in another order"
    return max(abs(x - y) for path in ours for x, y in zip(ours[path], theirs[path]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=".build/release/cnn-dist")
    parser.add_argument("--run", required="--peer" not in sys.argv)
    parser.add_argument("--images", required="--peer" not in sys.argv)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=1, choices=(0, 1), help="1, or 0 for all")
    parser.add_argument("--loop", action="store_true")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.peer:
        return peer(a)
    with tempfile.TemporaryDirectory() as folder:
        facts, cores = facts_of(a), os.cpu_count()
        json.dump(facts, open(f"{folder}/facts.json", "w"))
        ours = [a.program, "predict", "--run", a.run, a.images, "--out", f"{folder}/ours.csv"]
        theirs = [sys.executable, os.path.abspath(__file__), "--peer", f"{folder}/facts.json", "--out", f"{folder}/theirs.csv"]
        if not a.cores:
            theirs += ["--workers", str(cores), "--threads", str(cores)]
        figures = {"cnn-dist": [], "PyTorch and PIL": []}
        for _ in range(a.rounds):
            if os.path.exists(f"{folder}/ours.csv"):
                os.remove(f"{folder}/ours.csv")
            seconds, done = timed(ours, a.cores)
            said = re.search(r"([\d.,]+) images/s, lanes computing (\d+) %", done.stderr)
            figures["cnn-dist"].append(float(said[1].replace(",", "")) if a.loop else len(facts["files"]) / seconds)
            seconds, done = timed(theirs, a.cores)
            figures["PyTorch and PIL"].append(len(facts["files"]) / (json.loads(done.stdout)["loop"] if a.loop else seconds))
        apart = difference(f"{folder}/ours.csv", f"{folder}/theirs.csv")
    print(f"{facts['model']} {facts['size']}x{facts['size']}, {len(facts['files'])} files, "
          f"{'one core' if a.cores else f'{cores} cores'}, {a.rounds} rounds, {'the loop alone' if a.loop else 'whole processes'}; probabilities differ by at most {apart:.1e}")
    for name, values in figures.items():
        print(f"  {name:16s} {statistics.median(values):8.1f} images/s ({min(values):.1f} to {max(values):.1f})")
    ratios = [x / y for x, y in zip(*figures.values())]
    print(f"  cnn-dist is {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    sys.exit(main())
