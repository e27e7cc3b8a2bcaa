"""Which files that people send are pictures that we take."""

import io
import warnings

from PIL import Image, UnidentifiedImageError

FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
ENDINGS = {kind: name for name, kind in TYPES.items()}
MAX_PIXELS = 40_000_000


class PictureRefused(Exception):
    """What was uploaded is no picture that we take."""


def ending(raw: bytes) -> str:
    """`png`, `jpg` or `webp`, by what is in the file. Blocks: call it in a thread.

    Raises:
        PictureRefused: not PNG, JPEG or WebP, broken, or larger than `MAX_PIXELS`.
    """
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
