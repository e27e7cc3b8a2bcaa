"""Registers of meters: few requests, right numbers."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.errors import SourceRefused
from analytics.telemetry.modbusprofile import FORMATS, MOST_REGISTERS, SDM630, Block, decode, plan, width
from analytics.telemetry.payload import QUANTITIES, Reason, Rejected
from config.settings import ModbusProfileSettings, ModbusRegisterSettings


def register(quantity: str = "current_a", address: int = 0, **fields: object) -> ModbusRegisterSettings:
    return ModbusRegisterSettings.model_validate({"quantity": quantity, "address": address} | fields)


def profile(*registers: ModbusRegisterSettings) -> ModbusProfileSettings:
    return ModbusProfileSettings(name="meter", registers=registers)


def words_of(raw: bytes, order: str) -> list[int]:
    words = list(struct.unpack(f">{len(raw) // 2}H", raw))
    return words if order == "big" else words[::-1]


def test_shipped_profile_is_read_by_three_requests() -> None:
    assert [(one.table, one.address, one.count) for one in plan(SDM630)] == [
        ("input", 0x0000, 12), ("input", 0x0034, 22), ("input", 0x00C8, 6),
    ]  # fmt: skip


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(sorted(FORMATS)), st.sampled_from(["holding", "input"])),
        min_size=1, max_size=len(QUANTITIES),
    )
)  # fmt: skip
def test_plan_reads_every_register_whole_and_asks_for_no_more_than_a_request_may(
    places: list[tuple[int, str, str]],
) -> None:
    registers = [
        register(name, address, type=kind, table=table)
        for name, (address, kind, table) in zip(QUANTITIES, places, strict=False)
    ]
    blocks = plan(profile(*registers))
    assert sorted(one.quantity for block in blocks for one in block.registers) == sorted(
        one.quantity for one in registers
    )
    for block in blocks:
        assert 1 <= block.count <= MOST_REGISTERS
        for one in block.registers:
            assert one.table == block.table
            assert block.address <= one.address
            assert one.address + width(one) <= block.address + block.count


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize(
    ("kind", "value"),
    [("int16", -12), ("uint16", 65000), ("int32", -70_000), ("uint32", 70_000), ("int64", -5), ("uint64", 5),
     ("float32", 12.5), ("float64", 12.5)],
)  # fmt: skip
def test_values_are_read_in_every_type_and_order(kind: str, value: float, order: str) -> None:
    wanted = register("active_power", 10, type=kind, words=order, scale=0.5)
    words = [7, *words_of(struct.pack(FORMATS[kind], value), order)]
    block = Block("holding", 9, len(words), (wanted,))
    assert decode(block, words, wanted) == value * 0.5


@pytest.mark.parametrize(
    ("raw", "reason"),
    [(float("nan"), Reason.NOT_FINITE), (float("inf"), Reason.NOT_FINITE), (-9999.0, Reason.NO_VALUE),
     (30_000.0, Reason.OUT_OF_RANGE), (-1.0, Reason.OUT_OF_RANGE)],
)  # fmt: skip
def test_no_number_is_made_up(raw: float, reason: Reason) -> None:
    wanted = register()
    with pytest.raises(Rejected) as refused:
        decode(Block("holding", 0, 2, (wanted,)), words_of(struct.pack(">f", raw), "big"), wanted)
    assert refused.value.reason is reason


def test_short_answer_is_refused() -> None:
    wanted = register()
    with pytest.raises(Rejected) as refused:
        decode(Block("holding", 0, 2, (wanted,)), [1], wanted)
    assert refused.value.reason is Reason.WRONG_SHAPE


@pytest.mark.parametrize(
    ("registers", "words"),
    [((register("speed"),), "not known"), ((register(), register(address=4)), "named twice"),
     ((register(address=65535),), "outside")],
)  # fmt: skip
def test_profile_that_cannot_be_is_refused_in_words(registers: tuple[ModbusRegisterSettings, ...], words: str) -> None:
    with pytest.raises(SourceRefused, match=words):
        plan(profile(*registers))
