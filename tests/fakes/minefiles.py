"""Files as an invented mine would send them."""

from analytics.telemetry.minefile import Record, file_name, write

MINE = "140500000001"
OTHER = "140500000002"
AREA = MINE + "0001"
STATION = AREA + "000001"
T0 = 1_790_000_000.0


def card(number: int) -> str:
    return f"{MINE}{number:05d}"


def person(number: int, flag: str = "1", **changed: str | None) -> Record:
    record: Record = {
        "card": card(number), "name": f"人员{number}", "flag": flag, "in_time": "2026-09-21 21:00:00", "area": AREA,
        "station": STATION, "distance_m": "-12.40", "status": "正常", "is_leader": "0", "is_special": "1",
    }  # fmt: skip
    return record | changed


def ryss(at: float, records: list[Record], mine: str = MINE) -> tuple[str, str]:
    """Name and text."""
    return file_name(mine, "RYSS", at), write("RYSS", mine, "某矿", at, records)


def sample(point: str, type_name: str, value: str, time: str, unit: str = "A", device: str = "1号主扇") -> Record:
    return {
        "point": point, "type_code": "A05", "type_name": type_name, "device": device, "value": value, "unit": unit,
        "status": "正常", "time": time,
    }  # fmt: skip
