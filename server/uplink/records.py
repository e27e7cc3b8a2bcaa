"""Records of the AI-video push API of the supervision platforms (after MT/T 1201.6): made and checked here. Pure.

A body is an array of records of one endpoint. Counts are four digits; times are local (China Standard Time). A record
that would not be taken is not made: without a camera's 20-digit code there is none, and a count is only made of counts.
"""

import re
from typing import Literal

from analytics.telemetry.minefile import china

Endpoint = Literal[
    "camera", "cameraStatus", "videoAnomaly", "countingRecog", "undergroundCount", "importPersonCount"
]  # fmt: skip
Record = dict[str, object]

MOST = 9999
ANOMALIES: dict[str, str] = {
    "blocked": "0001", "moved": "0002", "dark": "0003", "overexposed": "0004", "blurred": "0005", "frozen": "0006",
    "none": "0007", "shaking": "0008", "resolution": "0009",
}  # fmt: skip
"""What is wrong with a picture → case. Type numbers of counting look alike and mean other things."""
IN, OUT = "01", "02"
_CAMERA, _MINE, _POSITION = re.compile(r"\d{20}"), re.compile(r"\d{12}"), re.compile(r"\d{14}")


class BadRecord(ValueError):
    """It would not be taken."""


def camera(code: str, mine: str, at: float, *, position_type: str, description: str, analysis: str = "03") -> Record:
    """Base data of a camera."""
    return {
        "cameraCode": _checked(_CAMERA, code), "positionType": position_type[:40], "positionDesc": description[:100],
        "analysisType": analysis, "dataTime": china(at), "mineCode": _checked(_MINE, mine),
    }  # fmt: skip


def status(code: str, mine: str, at: float, *, on: bool) -> Record:
    """A camera is on or off."""
    return {
        "cameraCode": _checked(_CAMERA, code), "cameraStatus": "1" if on else "0", "dataTime": china(at),
        "mineCode": _checked(_MINE, mine),
    }  # fmt: skip


def anomaly(code: str, mine: str, at: float, picture: str) -> Record:
    """A picture is not as it should be: a key of `ANOMALIES`."""
    if picture not in ANOMALIES:
        raise BadRecord(f"there is no case for {picture}")
    return {
        "cameraCode": _checked(_CAMERA, code), "analysisType": "03", "analysisCase": ANOMALIES[picture],
        "dataTime": china(at), "localFiles": [], "mineCode": _checked(_MINE, mine),
    }  # fmt: skip


def counting(code: str, mine: str, at: float, kind: str, count: float) -> Record:
    """People counted in (01) or out (02) by one camera."""
    if kind not in (IN, OUT):
        raise BadRecord("only counts of people in and out are counts here")
    return {
        "mineCode": _checked(_MINE, mine), "cameraCode": _checked(_CAMERA, code), "analysisType": kind,
        "analysisCase": four(count), "dataTime": china(at),
    }  # fmt: skip


def underground(code: str, mine: str, at: float, count: float) -> Record:
    """The total underground by cameras; the platform compares it with the tags."""
    return {
        "cameraCode": _checked(_CAMERA, code), "analysisCase": four(count), "dataTime": china(at),
        "mineCode": _checked(_MINE, mine),
    }  # fmt: skip


def transported(
    name: str, position: str, code: str, direction: str, count: float, mine: str
) -> Record:  # fmt: skip
    """People carried by a cage, a chairlift, a man car. Without a position code there is no record: the platform
    replaces everything of a position."""
    if direction not in (IN, OUT):
        raise BadRecord("the direction is 01 (in) or 02 (out)")
    return {
        "positionName": name[:100], "positionCode": _checked(_POSITION, position),
        "cameraCode": _checked(_CAMERA, code), "direction": direction, "personCount": int(_count(count)),
        "mineCode": _checked(_MINE, mine),
    }  # fmt: skip


def four(count: float) -> str:
    """`0025`; more than 9999 is 9999."""
    return f"{int(min(_count(count), MOST)):04d}"


def _count(value: float) -> float:
    if not value >= 0 or value != int(value):
        raise BadRecord("a count is a whole number from 0 on")
    return value


def _checked(shape: re.Pattern[str], value: str) -> str:
    if not shape.fullmatch(value):
        raise BadRecord(f"{value[:30]!r} is no code of this kind")
    return value
