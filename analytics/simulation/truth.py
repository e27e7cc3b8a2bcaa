"""What really happened."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Truth:
    """One fault or offence that was played."""

    kind: str
    """The rule that has to find it."""
    subject: str
    """What it is about, as in the finding."""
    start: float
    """From when it can be seen in the samples, UTC seconds."""
    end: float
    also: tuple[str, ...] = ()
    """Rules that may speak of it too without being wrong."""
