"""Records of the push API as the platforms take them."""

import pytest

from server.uplink import records
from server.uplink.push import judged
from server.uplink.records import BadRecord

CAMERA, MINE, AT = "14112400001310000001", "141124000001", 1_790_000_000.0


def test_counts_are_four_digits_and_only_counts_are_counts() -> None:
    assert records.underground(CAMERA, MINE, AT, 25.0) == {
        "cameraCode": CAMERA, "analysisCase": "0025", "dataTime": "2026-09-21 22:13:20", "mineCode": MINE,
    }  # fmt: skip
    assert records.four(12_345) == "9999"
    for wrong in (0.5, -1.0, float("nan")):
        with pytest.raises(BadRecord):
            records.four(wrong)


def test_a_camera_without_its_code_has_no_record() -> None:
    with pytest.raises(BadRecord):
        records.status("", MINE, AT, on=True)
    with pytest.raises(BadRecord):
        records.counting(CAMERA, "1411", AT, records.IN, 3)


def test_cases_of_pictures_are_not_types_of_counts() -> None:
    assert records.anomaly(CAMERA, MINE, AT, "shaking")["analysisCase"] == "0008"
    with pytest.raises(BadRecord):
        records.counting(CAMERA, MINE, AT, "08", 3)
    with pytest.raises(BadRecord):
        records.anomaly(CAMERA, MINE, AT, "ok")


def test_a_missing_position_is_never_guessed() -> None:
    with pytest.raises(BadRecord):
        records.transported("罐笼", "", CAMERA, "01", 12, MINE)
    assert records.transported("罐笼", "1" * 14, CAMERA, "02", 12, MINE)["personCount"] == 12


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, {"code": 200}, "taken"), (200, {"code": 401}, "again"), (200, {}, "again"), (200, {"code": 500}, "again"),
        (200, {"code": 400}, "refused"), (403, {}, "again"), (404, {"code": 200}, "refused"), (429, {}, "again"),
        (503, {"code": 200}, "again"), (200, {"code": "200"}, "again"),
    ],
)  # fmt: skip
def test_only_a_good_status_with_code_200_is_taken(status: int, body: dict[str, object], result: str) -> None:
    assert judged(status, body)[0].result == result
