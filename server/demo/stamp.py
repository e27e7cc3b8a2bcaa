"""What is burned into every picture of the simulated mine: that it is simulated, where it is, and the time."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from server.outlet import Picture

FONT_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "C:/Windows/Fonts",
)
FONT_NAMES = (
    "NotoSansCJK*.ttc",
    "NotoSansSC*.[ot]tf",
    "SourceHanSans*.[ot]t[fc]",
    "wqy-*.ttc",
    "DroidSansFallback*.ttf",
    "PingFang*.ttc",
    "STHeiti*.ttc",
    "msyh*.ttc",
    "simhei.ttf",
)
"""Typefaces that hold Chinese characters, the better ones first."""

_HEIGHT_SHARE = 0.072
_INK = (255, 255, 255)
_MARK = (255, 196, 0)
_BAND = (16, 20, 24)


def chinese_font_files() -> Iterator[Path]:
    """Font files of this machine that hold Chinese characters."""
    folders = [Path(folder).expanduser() for folder in FONT_FOLDERS]
    for name in FONT_NAMES:
        for folder in folders:
            if folder.is_dir():
                yield from sorted(folder.rglob(name))


def load_font(size: int) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, bool]:
    """A font and whether it holds Chinese characters."""
    for file in chinese_font_files():
        try:
            return ImageFont.truetype(str(file), size), True
        except OSError:
            continue
    return ImageFont.load_default(size), False


class Stamp:
    """The band over a camera's pictures. Drawn once a second, laid on each picture.

    Args:
        size: width, height of the pictures.
        place_zh, place_en: what the camera sees.
        site_zh, site_en: the mine.
    """

    def __init__(
        self, size: tuple[int, int], site_zh: str, site_en: str, place_zh: str, place_en: str, note: str = ""
    ) -> None:
        self._width = size[0]
        self._height = max(16, round(size[1] * _HEIGHT_SHARE))
        self._font, chinese = load_font(round(self._height * 0.68))
        self._mark = "模拟 SIMULATED" if chinese else "SIMULATED"
        self._text = f"{site_zh} {place_zh}" if chinese else f"{site_en} {place_en}"
        self._note = note
        self._band = np.zeros((self._height, self._width, 3), np.uint8)
        self._second = -1

    def lay_on(self, picture: Picture, at: float) -> Picture:
        """The picture with the band at its top; `at` is seconds since the Unix epoch, shown as local time."""
        if int(at) != self._second:
            self._second = int(at)
            self._band = self._draw(time.strftime("%m-%d %H:%M:%S", time.localtime(at)))
        stamped = picture.copy()
        stamped[: self._height] = self._band
        return stamped

    def _draw(self, clock: str) -> Picture:
        image = Image.new("RGB", (self._width, self._height), _BAND)
        draw = ImageDraw.Draw(image)
        middle, margin = self._height // 2, self._height // 3
        draw.text((margin, middle), self._mark, _MARK, self._font, anchor="lm")
        left = margin + draw.textlength(self._mark, self._font) + margin
        draw.text((left, middle), f"{self._text}  {self._note}".rstrip(), _INK, self._font, anchor="lm")
        draw.text((self._width - margin, middle), clock, _INK, self._font, anchor="rm")
        return np.asarray(image, np.uint8)
