"""Pictures of plans as files named by their content: whole or not there at all. Blocks: call it in a thread."""

import hashlib
import io
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from server.store.errors import StoreError
from server.store.wholefile import write_whole

FOLDER = "plans"
FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
MAX_PIXELS = 40_000_000


class PictureRefused(Exception):
    """What was uploaded is no picture that we take."""


def store_picture(directory: Path, raw: bytes) -> str:
    """Write a picture below the data folder and return its name, `<sha256>.png|jpg|webp`.

    Raises:
        PictureRefused: not PNG, JPEG or WebP, broken, or larger than `MAX_PIXELS`.
        StoreError: it cannot be written.
    """
    name = f"{hashlib.sha256(raw).hexdigest()}.{_ending(raw)}"
    target = directory / FOLDER / name
    try:
        if not target.exists():
            write_whole(target, raw, directory)
    except OSError as error:
        raise StoreError(f"The picture {name} was not written: {error.strerror}.") from error
    return name


def load_picture(directory: Path, name: str) -> bytes | None:
    """None: it is gone."""
    try:
        return (directory / FOLDER / name).read_bytes()
    except OSError:
        return None


def _ending(raw: bytes) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(raw), formats=list(FORMATS)) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise PictureRefused(f"The picture has more than {MAX_PIXELS} pixels.")
                picture.verify()
                return FORMATS[picture.format or ""]
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombWarning) as error:
        raise PictureRefused("The file is no PNG, JPEG or WebP picture.") from error
    except Image.DecompressionBombError as error:
        raise PictureRefused(f"The picture has more than {MAX_PIXELS} pixels.") from error
