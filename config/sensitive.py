"""Which values of the settings are secrets, and what may be shown of them. Pure.

Decided by the name of a setting, so that a new one is hidden without being listed here. Addresses are shown without
what stands in them as password or query.
"""

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

HIDDEN = "•••"
SECRET_NAMES = re.compile(r"(^|_)(password|secret|token|pin|key)s?$|^headers$|^body$|^token_request$|^options$")
NO_SECRETS = re.compile(r"(^|\.)tls_key$|(^|\.)templates\.([0-9]+\.)?key$")
"""Named like secrets: a path of a file, and the name of a template."""
URL_NAMES = re.compile(r"(^|_)url$")


def is_secret(path: str) -> bool:
    """Whether nothing of the value is ever shown. `path`: a setting, or its name alone."""
    return NO_SECRETS.search(path) is None and SECRET_NAMES.search(path.rpartition(".")[2]) is not None


def without_credentials(url: str) -> str:
    """An address without password and without query, which may hold a key."""
    scheme, found, rest = url.partition("://")
    if found and "@" in rest:  # a password may hold any character but the last "@": what stands before it is all hidden
        who, _, where = rest.rpartition("@")
        name, colon, _ = who.partition(":")
        url = f"{scheme}://{name}{':' + HIDDEN if colon else ''}@{where}"
    try:
        parts = urlsplit(url)
        where = parts.netloc
        return urlunsplit((parts.scheme, where, parts.path, HIDDEN if parts.query else "", ""))
    except ValueError:
        return HIDDEN


def shown(path: str, value: Any) -> Any:
    """A value of the settings as it may be shown, at any depth."""
    if value is None or value == "":
        return value
    if is_secret(path):
        return HIDDEN
    if isinstance(value, dict):
        return {key: shown(f"{path}.{key}" if path else str(key), inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [shown(path, inside) for inside in value]
    if isinstance(value, str) and (URL_NAMES.search(path.rpartition(".")[2]) or "://" in value):
        return without_credentials(value)
    return value
