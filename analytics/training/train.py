"""One command from nothing to the shipped model: render, train, export, evaluate, write the card.

    python -m analytics.training.train --out analytics/models

Needs the dependency group `train` (torch, onnx, moderngl) and EGL, see README.md. Takes about 25 minutes on one core.
"""

import argparse
import copy
import math
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from analytics.training import augment, card, dataset
from analytics.training.labels import HEIGHT, WIDTH, Tally, decode
from analytics.training.model import PersonNet, loss

TRAIN_SEED, VALIDATION_SEED = 100_000, 900_000
_BATCH = 32


def say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")


def fit(pictures: NDArray[np.uint8], truth: NDArray[np.float32], steps: int, width: int, seed: int) -> PersonNet:
    """Train for `steps` batches; returns the running mean of the weights, which is steadier than the last ones."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = PersonNet(width).to(memory_format=torch.channels_last)
    mean = copy.deepcopy(net).eval()
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    order = np.zeros(0, np.int64)
    net.train()
    begun = time.monotonic()
    for step in range(steps):
        if len(order) < _BATCH:
            order = rng.permutation(len(pictures))
        take, order = np.sort(order[:_BATCH]), order[_BATCH:]
        image, *wanted = augment.batch(pictures[take], truth[take], rng)
        rate = 2e-3 * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            out = net(image)
        total, parts = loss(out, *wanted)
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        _follow(mean, net, min(0.995, (step + 1) / (step + 10)))
        if step % 100 == 0:
            shown = " ".join(f"{k} {v:.3f}" for k, v in parts.items())
            say(f"step {step} of {steps}: {shown}, {(step + 1) * _BATCH / (time.monotonic() - begun):.0f} pictures/s")
    return mean


@torch.no_grad()
def _follow(mean: PersonNet, net: PersonNet, keep: float) -> None:
    for a, b in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
        if a.is_floating_point():
            a.mul_(keep).add_(b, alpha=1 - keep)
        else:
            a.copy_(b)


def export(net: PersonNet, path: Path) -> float:
    """Write the ONNX file; returns the largest difference between onnxruntime's and torch's answers."""
    net = net.eval().float().to(memory_format=torch.contiguous_format)
    example = torch.zeros(1, 3, HEIGHT, WIDTH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (example,), str(path), input_names=["image"], output_names=["heads"], opset_version=17,
            dynamic_axes={"image": {0: "n"}, "heads": {0: "n"}}, dynamo=False,
        )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    probe = torch.from_numpy(np.random.default_rng(5).random((3, 3, HEIGHT, WIDTH), np.float32))
    with torch.no_grad():
        wanted = net(probe).numpy()
    return float(np.abs(session.run(None, {"image": probe.numpy()})[0] - wanted).max())


@torch.no_grad()
def best_threshold(net: PersonNet, pictures: NDArray[np.uint8], truth: NDArray[np.float32]) -> float:
    """Of 0.30 to 0.60, the one with the best F score on the validation frames; precision weighs twice."""
    net.eval()
    heads = []
    for start in range(0, len(pictures), 50):
        image = torch.from_numpy(np.ascontiguousarray(pictures[start : start + 50])).permute(0, 3, 1, 2).float() / 255
        heads.append(net(image).numpy())
    answers = np.concatenate(heads)
    best, best_score = 0.45, -1.0
    for threshold in np.arange(0.30, 0.61, 0.05):
        tally = Tally()
        for answer, rows in zip(answers, truth, strict=True):
            tally.add(decode(answer, float(threshold)), rows)
        f = tally.figures()
        p, r = float(f.get("precision", 0)), float(f.get("recall", 0))
        score = 1.25 * p * r / max(1e-9, 0.25 * p + r)
        say(f"threshold {threshold:.2f}: {f}")
        if score > best_score:
            best, best_score = round(float(threshold), 2), score
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description="Render, train, export and evaluate the person model.")
    parser.add_argument("--out", type=Path, default=Path("analytics/models"))
    parser.add_argument("--data", type=Path, default=Path("build/training"), help="frames are kept and reused here")
    parser.add_argument("--frames", type=int, default=14_000)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--renderer", choices=("gl", "caster"), default="gl")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, first, count in (("validation", VALIDATION_SEED, 1000), ("train", TRAIN_SEED, args.frames)):
        if not (args.data / name / "truth.npy").exists():
            say(f"rendering {count} frames for {name}")
            dataset.make(args.data / name, first, count, dataset.renderer(args.renderer), say)
    pictures = np.load(args.data / "train" / "pictures.npy", mmap_mode="r")
    truth = np.load(args.data / "train" / "truth.npy")
    net = fit(pictures, truth, args.steps, args.width, args.seed)
    check = np.load(args.data / "validation" / "pictures.npy"), np.load(args.data / "validation" / "truth.npy")
    threshold = best_threshold(net, *check)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "person.onnx"
    difference = export(net, path)
    say(f"onnxruntime and torch differ by at most {difference:.1e}; evaluating")
    training = {
        "frames": len(pictures), "steps": args.steps, "batch": _BATCH, "width": args.width, "seed": args.seed,
        "first_train_seed": TRAIN_SEED, "first_validation_seed": VALIDATION_SEED, "renderer": args.renderer,
    }  # fmt: skip
    card.write(path, threshold, training, difference, check, say)


if __name__ == "__main__":
    main()
