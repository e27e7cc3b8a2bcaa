"""What of a person is shown to whom has not asked for it. Pure.

Names keep their first character, telephone numbers their first three and last two digits. The card number stays: it is
what positions are told by. Whoever needs more asks by name of the card, which is written into the audit.
"""

from typing import Any

STAR = "*"
PERSONAL = ("name", "phone")


def name(text: str) -> str:
    """张三丰 → 张**."""
    return text[:1] + STAR * max(1, len(text) - 1) if text else ""


def phone(text: str) -> str:
    """13812345678 → 138******78."""
    return text[:3] + STAR * (len(text) - 5) + text[-2:] if len(text) > 7 else STAR * len(text)


def person(values: dict[str, Any]) -> dict[str, Any]:
    """The fields of a person, masked."""
    return values | {"name": name(values.get("name", "")), "phone": phone(values.get("phone", ""))}
