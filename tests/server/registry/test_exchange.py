"""Facts as CSV and YAML and back: what was written is read, and every mistake has its line."""

import pytest

from analytics.mine import Camera, Drift, Fence, Machine, Mine, MineState, Permit, Person, Zone
from server.registry import exchange
from server.registry.forms import KINDS, Fact

FACTS: dict[str, list[Fact]] = {
    "mine": [Mine(code="140100000001", hazards=("high_gas", "outburst"), parameters={"near_m": 8.5})],
    "drifts": [Drift("haulage", ((0.0, 0.0, -400.0), (100.5, 0.0, -402.25)), "大巷", "Haulage", direction="forward")],
    "zones": [
        Zone("face", Fence(((0.0, 0.0), (10.0, 0.0), (10.0, 10.5)), z_low_m=-500.0), "工作面", kind="face"),
        Zone("gate", allow_cards=("P1", "P2"), allow_hours=((22.0, 6.0),), gathering_ok=True),
    ],
    "people": [
        Person("00000000000000001", "瓦检员", leader=True, name="=张三", phone="+86 138"),
        Person("P2", name="'李四"),
    ],
    "machines": [Machine("car-1", ("V1",), "mine_car", rings_m=(9.0, 6.0, 3.5))],
    "cameras": [Camera("gate", place=(1.0, 2.0, -3.0))],
    "states": [MineState("repair", "maintenance", 1_790_000_000.5, None, (Permit("hoist", 8, 16, max_people=20),))],
}


@pytest.mark.parametrize("kind", FACTS)
def test_csv_is_read_as_it_was_written(kind: str) -> None:
    given = exchange.read_csv(kind, exchange.write_csv(kind, FACTS[kind]))
    assert given.mistakes == []
    assert given.facts[kind] == FACTS[kind]


def test_yaml_is_read_as_it_was_written() -> None:
    given = exchange.read_yaml(exchange.write_yaml("hongqi", FACTS), "hongqi")
    assert given.mistakes == []
    assert dict(given.facts) == FACTS


@pytest.mark.parametrize("kind", KINDS)
def test_empty_export_is_a_form_to_fill_in(kind: str) -> None:
    written = exchange.write_csv(kind, [])
    assert KINDS[kind].id in written.splitlines()[0].split(",")
    given = exchange.read_csv(kind, written)
    assert given.mistakes == []
    assert given.facts[kind] == []


def test_cell_that_a_spreadsheet_would_calculate_is_written_as_text() -> None:
    assert "'=张三" in exchange.write_csv("people", FACTS["people"])


def test_spreadsheets_own_spellings_are_read() -> None:
    text = "card;name;leader\r\nP1;张三;是\r\n"
    for raw in (text.encode("gb18030"), b"\xef\xbb\xbf" + text.encode()):
        decoded = exchange.decode(raw)
        assert decoded is not None
        assert exchange.read_csv("people", decoded).facts["people"] == [Person("P1", name="张三", leader=True)]
    assert exchange.decode(b"\xff\xff\xff") is None


def test_every_mistake_of_a_csv_names_its_line() -> None:
    text = "quota,people,zone\nq1,12,face\nq2,many,face\n\nq3,-1,face\nq1,4,face\nq4,5\n"
    given = exchange.read_csv("quotas", text)
    assert [(one.line, one.key) for one in given.mistakes] == [
        (3, "people"), (5, "people"), (6, "quota"), (7, ""),
    ]  # fmt: skip
    assert all(one.zh and one.en for one in given.mistakes)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("people\n4\n", "quota"),
        ("quota,bla,people\nq,1,2\n", "bla"),
        ("quota,people,people\nq,1,2\n", "people"),
        ("", ""),
    ],
)
def test_header_that_does_not_fit_is_told_before_anything_is_read(text: str, key: str) -> None:
    given = exchange.read_csv("quotas", text)
    assert [one.key for one in given.mistakes] == [key]
    assert given.facts["quotas"] == []


def test_every_mistake_of_a_yaml_names_its_line() -> None:
    text = """site: hongqi
zones:
  - zone: face
    kind: faec
  - {zone: ok, fence: {outline: [[0, 0], [1, 0], [1, far]]}}
  - text
quotas:
  - quota: q
bla: []
"""
    given = exchange.read_yaml(text, "hongqi")
    found = [(one.line, one.kind, one.key) for one in given.mistakes]
    assert found[:2] == [(3, "zones", "kind"), (5, "zones", "fence.outline.2.1")]
    assert (6, "zones", "") in found
    assert (8, "quotas", "people") in found
    assert (9, "", "bla") in found


@pytest.mark.parametrize(
    "text", ["zones: [", "- a\n- b", "zones: {a: 1}", "site: other\nzones: []", "\ta: 1", "zones: []\nzones: []"]
)
def test_yaml_that_is_no_registry_is_a_mistake(text: str) -> None:
    given = exchange.read_yaml(text, "hongqi")
    assert len(given.mistakes) == 1
    assert given.mistakes[0].line


def test_aliases_cannot_blow_a_small_file_up() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for one, two in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{two}: &{two} [{', '.join(['*' + one] * 10)}]")
    text = "zones:\n  - zone: z\n    neighbours: {" + ", ".join(lines) + "}\n"
    given = exchange.read_yaml(text, "hongqi")
    assert [one.en for one in given.mistakes] == ["holds too much, or is nested too deep"]


def test_card_numbers_stay_text() -> None:
    given = exchange.read_yaml("people:\n  - card: 14010000000100017\n  - card: 00010\n", "m")
    assert [one.card for one in given.facts["people"]] == ["14010000000100017", "00010"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-01 08:00:00", 1_793_491_200.0), ("2026/11/01 08:00", 1_793_491_200.0),
        ("2026-11-01T00:00:00+00:00", 1_793_491_200.0), ("1793491200.5", 1_793_491_200.5),
    ],
)  # fmt: skip
def test_times_are_of_china_unless_they_say_otherwise(text: str, at: float) -> None:
    assert exchange.read_time(text) == at
    assert exchange.read_time(exchange.written_time(at)) == at
