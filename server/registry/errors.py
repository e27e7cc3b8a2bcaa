"""Errors of the registry.

- `RegistryRefused`: facts that are not valid, or do not fit each other; nothing was changed. `mistakes` lists them.
- `RegistryStale`: somebody changed the mine since the caller looked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MAX_MISTAKES = 200
"""Told in one answer."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong with facts. What was given is not repeated: it may be a name."""

    kind: str
    """`zones`, `people`, ...; empty for a file as a whole."""
    id: str
    key: str
    """The field, e.g. `fence.outline`; empty for the whole fact."""
    zh: str
    en: str
    line: int | None = None
    """Of the file, from 1."""


class RegistryRefused(Exception):
    """Facts that are not valid, or do not fit each other; nothing was changed."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        first = self.mistakes[0]
        where = "/".join(part for part in (first.kind, first.id, first.key) if part)
        more = f" (and {len(self.mistakes) - 1} more)" if len(self.mistakes) > 1 else ""
        super().__init__(f"{where}: {first.en}{more}" if where else f"{first.en}{more}")


class RegistryStale(Exception):
    """Somebody changed the mine since the caller looked; nothing was changed."""
