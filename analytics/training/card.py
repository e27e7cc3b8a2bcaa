"""The model card: what the file is, how it came to be, and what was measured. Read by whoever loads the model."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analytics.training.evaluate import FIRST_SEED, PersonModel, classes, measure
from analytics.training.figure import POSTURES
from analytics.training.labels import HEIGHT, WIDTH

NOTE_ZH = (
    "本模型仅用程序渲染的场景训练，未见过任何真实画面；在无关的真实照片上可能误报。仅供测试与演示。"
    "正式值守请换用自有的 ONNX 模型，并按现场标定。"
)
NOTE_EN = (
    "Trained on rendered scenes only; it has never seen a real picture and may fire on unrelated real photos. For "
    "tests and demonstration. For duty use bring your own ONNX model and calibrate it on site."
)

_GENERATOR = (
    *("scene.py", "figure.py", "furniture.py", "room.py", "mine.py", "texture.py", "caster.py", "render.py"),
    *("labels.py", "codecs.py", "dataset.py", "augment.py"),
)


def generator_sha256() -> str:
    """Hash of the sources that the training pictures and their truth come from."""
    digest = hashlib.sha256()
    for name in _GENERATOR:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


def write(
    path: Path,
    threshold: float,
    training: dict[str, object],
    difference: float,
    check: tuple[NDArray[np.uint8], NDArray[np.float32]],
    say: Callable[[str], None],
    scale: float = 1.0,
) -> None:
    """Measure the file at `path` and write the card beside it. `check` are the validation frames and their truth;
    `scale` is the share of the evaluation pictures to use."""
    model = PersonModel(path, threshold)
    measured: dict[str, object] = {"validation_frames": measure(model, iter(zip(*check, strict=True)))}
    say(f"validation_frames: {measured['validation_frames']}")
    for name, samples in classes(scale).items():
        measured[name] = measure(model, samples())
        say(f"{name}: {measured[name]}")
    card = {
        "name": "lamproom-person",
        "version": "1",
        "task": "person",
        "input": {"name": "image", "size": [WIDTH, HEIGHT], "channels": "RGB", "scale": 1 / 255},
        "output": "heads",
        "decoder": "heatmap",
        "classes": ["person"],
        "postures": list(POSTURES),
        "threshold": threshold,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "trained_on": "rendered",
        "licence": "Apache-2.0",
        "seeds": {**training, "first_evaluation_seed": FIRST_SEED},
        "generator_sha256": generator_sha256(),
        "onnxruntime_vs_torch": difference,
        "measured": measured,
        "note_zh": NOTE_ZH,
        "note_en": NOTE_EN,
    }
    path.with_suffix(".json").write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", "utf-8")
