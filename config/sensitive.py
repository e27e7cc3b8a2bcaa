"""Which values of the settings are secrets, and what may be shown of them. Pure.

Decided by the name of a setting, so that a new one is hidden without being listed here. Addresses are shown without
what stands in them as password or query.
"""

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

HIDDEN = "•••"
SECRET_NAMES = re.compile(r"(^|_)(password|secret|token|pin|key)s?$|^headers$|^body$|^token_request$")
NO_SECRETS = frozenset({"tls_key", "key"})
"""Named like secrets: a path of a file, and the name of a template."""
URL_NAMES = re.compile(r"(^|_)url$")


def is_secret(name: str) -> bool:
    """Whether nothing of the value is ever shown."""
    return name not in NO_SECRETS and SECRET_NAMES.search(name) is not None


def without_credentials(url: str) -> str:
    """An address without password and without query, which may hold a key."""
    try:
        parts = urlsplit(url)
        where = parts.netloc
        if "@" in where:
            who, _, host = where.rpartition("@")
            name, found, _ = who.partition(":")
            where = f"{name}{':' + HIDDEN if found else ''}@{host}"
        return urlunsplit((parts.scheme, where, parts.path, HIDDEN if parts.query else "", ""))
    except ValueError:
        return HIDDEN


def shown(name: str, value: Any) -> Any:
    """A value of a setting as it may be shown, at any depth."""
    if value is None or value == "":
        return value
    if is_secret(name):
        return HIDDEN
    if isinstance(value, dict):
        return {key: shown(str(key), inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [shown(name, inside) for inside in value]
    if isinstance(value, str) and (URL_NAMES.search(name) or "://" in value):
        return without_credentials(value)
    return value
