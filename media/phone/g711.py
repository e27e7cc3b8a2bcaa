"""ITU-T G.711 as tables, made by its formulas. Pure."""

import numpy as np
import numpy.typing as npt


def _ulaw_to_linear() -> npt.NDArray[np.float32]:
    code = ~np.arange(256) & 0xFF
    segment, step = (code >> 4) & 7, code & 0x0F
    size = (((step << 3) + 0x84) << segment) - 0x84
    return np.where(code & 0x80, -size, size).astype(np.float32)


def _alaw_to_linear() -> npt.NDArray[np.float32]:
    code = np.arange(256) ^ 0x55
    segment, step = (code >> 4) & 7, code & 0x0F
    size = np.where(segment == 0, (step << 4) + 8, ((step << 4) + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, size, -size).astype(np.float32)


def _nearest(table: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """For each 16-bit value (as unsigned) the code whose value is nearest."""
    order = np.argsort(table, kind="stable")
    borders = (table[order][1:] + table[order][:-1]) / 2
    linear = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.float32)
    return order[np.searchsorted(borders, linear)].astype(np.uint8)


ULAW_TO_LINEAR = _ulaw_to_linear()
ALAW_TO_LINEAR = _alaw_to_linear()
LINEAR_TO_ULAW = _nearest(ULAW_TO_LINEAR)
LINEAR_TO_ALAW = _nearest(ALAW_TO_LINEAR)
