"""The small pieces of RFC 3261 section 25.1 that many header fields share: tokens, quoted strings, parameters, lists.

Everything here runs once over its text. No pattern has a repetition inside a repetition that could match the same
characters in two ways, so that hostile input costs what its length costs and no more.
"""

import re
from typing import TypeAlias

from signaling.sip.errors import MessageError

TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_TOKENS = re.compile(r"[A-Za-z0-9\-.!%*_+`'~ \t]*")
_PARAMETER_VALUE = re.compile(r'[^\s",;<>\\\x00-\x1f\x7f]+')
_MARK = re.compile(r'\\.|[",;<>]', re.DOTALL)
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_TO_QUOTE = re.compile(r'(["\\])')

Parameters: TypeAlias = tuple[tuple[str, str | None], ...]
"""Names in lower case; values as they stand, quoted strings with their quotes; None for a name without `=`."""


def split(text: str, separator: str) -> list[str]:
    """Cut at `separator` (a comma or a semicolon) where it stands outside quotes and angle brackets."""
    if '"' not in text and "<" not in text:
        return text.split(separator)
    parts: list[str] = []
    start = 0
    quoted = bracketed = False
    for mark in _MARK.finditer(text):
        sign = mark[0]
        if sign == '"' and not bracketed:
            quoted = not quoted
        elif quoted:
            continue
        elif sign == "<":
            bracketed = True
        elif sign == ">":
            bracketed = False
        elif sign == separator and not bracketed:
            parts.append(text[start : mark.start()])
            start = mark.end()
    if quoted or bracketed:
        raise MessageError("A quoted string or an angle bracket is not closed.")
    parts.append(text[start:])
    return parts


def parse_parameters(text: str) -> Parameters:
    """`;a=b;c` or "" to parameters. White space around `;` and `=` is allowed, the same name twice is not."""
    if not text.strip():
        return ()
    pieces = split(text, ";")
    if pieces[0].strip():
        raise MessageError("Something stands between a value and its parameters.")
    found: list[tuple[str, str | None]] = []
    seen: set[str] = set()
    for piece in pieces[1:]:
        name, equals, value = piece.partition("=")
        name, value = name.strip().lower(), value.strip()
        if not TOKEN.fullmatch(name):
            raise MessageError("A parameter has no proper name.")
        if name in seen:
            raise MessageError(f"The parameter {name} is given twice.")
        if equals and not (_PARAMETER_VALUE.fullmatch(value) or QUOTED.fullmatch(value)):
            raise MessageError(f"The value of the parameter {name} is malformed.")
        seen.add(name)
        found.append((name, value if equals else None))
    return tuple(found)


def format_parameters(parameters: Parameters) -> str:
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in parameters)


def parameter(parameters: Parameters, name: str) -> str | None:
    """The value of a parameter, "" when it has none, None when it is not there."""
    for key, value in parameters:
        if key == name:
            return "" if value is None else value
    return None


def with_parameter(parameters: Parameters, name: str, value: str | None) -> Parameters:
    """The same parameters with this one set, in its old place if it had one."""
    if any(key == name for key, _ in parameters):
        return tuple((key, value if key == name else old) for key, old in parameters)
    return (*parameters, (name, value))


def unquote(text: str) -> str:
    """A quoted string without quotes and back-slashes; anything else as it is."""
    return _PAIR.sub(r"\1", text[1:-1]) if QUOTED.fullmatch(text) else text


def quote(text: str) -> str:
    return '"' + _TO_QUOTE.sub(r"\\\1", text) + '"'


def only_tokens(text: str) -> bool:
    return _TOKENS.fullmatch(text) is not None


def number(text: str, highest: int, what: str) -> int:
    """A plain decimal number from 0 to `highest`. Python's int() also takes signs, underscores and other scripts."""
    text = text.strip()
    if not (text.isascii() and text.isdigit()):
        raise MessageError(f"{what} is not a number.")
    if len(text) > 20 or int(text) > highest:
        raise MessageError(f"{what} is larger than {highest}.")
    return int(text)
