"""What carries out models: the processor, and what else ONNX Runtime finds on this machine.

`pip install onnxruntime-openvino` or `onnxruntime-gpu` in place of `onnxruntime` brings the others.
"""

from collections.abc import Sequence
from typing import Literal

Wish = Literal["auto", "cpu", "openvino", "cuda"]

CPU = "CPUExecutionProvider"
_NAMES = {"cuda": "CUDAExecutionProvider", "openvino": "OpenVINOExecutionProvider", "cpu": CPU}
"""Best first."""


def choose(available: Sequence[str], wish: Wish = "auto") -> list[str]:
    """ONNX Runtime's names, in the order to be tried; the processor always comes last. A wish that is not installed is
    passed over."""
    wanted = list(_NAMES) if wish == "auto" else [wish]
    found = [_NAMES[name] for name in wanted if _NAMES[name] in available and name != "cpu"]
    return [*found, CPU]


def called(provider: str) -> str:
    """Our name for one of ONNX Runtime's."""
    return next((ours for ours, theirs in _NAMES.items() if theirs == provider), provider)
