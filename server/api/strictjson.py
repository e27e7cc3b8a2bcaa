"""JSON as we take it from the net: small, shallow, finite, every name once, every text storable. Pure."""

import json
import math

MAX_BODY_BYTES = 64 * 1024
MAX_DEPTH = 32


class JsonRefused(ValueError):
    """Not JSON, or JSON that we do not take; the message is for people."""


def loads(raw: bytes) -> object:
    """Decode a body.

    Raises:
        JsonRefused: not UTF-8, not JSON, NaN or Infinity, nested deeper than 32, a name twice, a lone surrogate or NUL.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_no_doubles
        )
    except JsonRefused:
        raise
    except RecursionError:
        raise JsonRefused(f"The body is nested deeper than {MAX_DEPTH}.") from None
    except ValueError as error:  # not UTF-8, not JSON, a number of thousands of digits
        raise JsonRefused("The body is not JSON in UTF-8.") from error
    _check(value)
    return value


def storable(text: str) -> bool:
    """Whether every store and every client can hold this text: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _check(value: object) -> None:
    waiting: list[tuple[object, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise JsonRefused(f"The body is nested deeper than {MAX_DEPTH}.")
        if isinstance(item, str):
            if not storable(item):
                raise JsonRefused("A text holds a NUL or half of a surrogate pair.")
        elif isinstance(item, dict):
            waiting += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            waiting += [(part, depth + 1) for part in item]


def _refuse_constant(name: str) -> object:
    raise JsonRefused(f"{name} is not a number in JSON.")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise JsonRefused("A number is too large.")
    return number


def _no_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JsonRefused("A name stands twice in one object.")
    return found
