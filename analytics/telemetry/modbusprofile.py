"""What a meter keeps in which registers, and how few requests read them all. Registers in, samples out; no I/O.

Modbus has no types: a value is one or several 16-bit registers, whose order is the maker's choice. A *profile* says it
for one kind of meter; `SDM630` is the map of a widespread three-phase meter and the pattern for others.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analytics.errors import SourceRefused
from analytics.telemetry.payload import QUANTITIES, Reason, Rejected, measured
from config.settings import ModbusProfileSettings, ModbusRegisterSettings

MOST_REGISTERS = 125
"""In one answer (Modbus Application Protocol 1.1b3, §6.3)."""
BRIDGED = 8
"""Registers that nobody wants are read along, if that saves a request."""

FORMATS = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "uint64": ">Q",
    "float32": ">f",
    "float64": ">d",
}

Table = Literal["holding", "input"]


@dataclass(frozen=True, slots=True)
class Block:
    """One request: `count` registers of a table from `address` on, and what they hold."""

    table: Table
    address: int
    count: int
    registers: tuple[ModbusRegisterSettings, ...]


def width(register: ModbusRegisterSettings) -> int:
    """How many 16-bit registers it takes."""
    return struct.calcsize(FORMATS[register.type]) // 2


def plan(profile: ModbusProfileSettings) -> tuple[Block, ...]:
    """The fewest requests that read a profile.

    Raises:
        SourceRefused: a quantity that is not known, named twice, or outside of the 65,536 registers.
    """
    named: set[str] = set()
    for one in profile.registers:
        if one.quantity not in QUANTITIES:
            raise SourceRefused(f"modbus profile {profile.name}: the quantity {one.quantity!r} is not known")
        if one.quantity in named:
            raise SourceRefused(f"modbus profile {profile.name}: {one.quantity} is named twice")
        if one.address + width(one) > 65536:
            raise SourceRefused(f"modbus profile {profile.name}: {one.quantity} lies outside of the registers")
        named.add(one.quantity)
    blocks: list[Block] = []
    for one in sorted(profile.registers, key=lambda register: (register.table, register.address)):
        end = one.address + width(one)
        last = blocks[-1] if blocks else None
        near = last is not None and last.table == one.table and one.address - (last.address + last.count) <= BRIDGED
        if last is not None and near and end - last.address <= MOST_REGISTERS:
            count = max(last.count, end - last.address)
            blocks[-1] = Block(last.table, last.address, count, (*last.registers, one))
        else:
            blocks.append(Block(one.table, one.address, width(one), (one,)))
    return tuple(blocks)


def decode(block: Block, words: Sequence[int], register: ModbusRegisterSettings) -> float:
    """The value of one register of a block, in the unit of its quantity.

    Args:
        words: the answer: `block.count` numbers of 16 bits.

    Raises:
        Rejected: no number (NaN, infinite), the "no value" of measuring devices, or outside of what can be.
    """
    start = register.address - block.address
    mine = words[start : start + width(register)]
    if len(mine) != width(register):
        raise Rejected(Reason.WRONG_SHAPE, f"The answer is too short for {register.quantity}.")
    ordered = mine if register.words == "big" else mine[::-1]
    raw: float = struct.unpack(FORMATS[register.type], struct.pack(f">{len(ordered)}H", *ordered))[0]
    return measured(register.quantity, raw, register.scale)


def _input(quantity: str, address: int, scale: float = 1.0) -> ModbusRegisterSettings:
    return ModbusRegisterSettings(quantity=quantity, address=address, table="input", scale=scale)


SDM630 = ModbusProfileSettings(
    name="sdm630",
    registers=(
        _input("voltage_a", 0x0000),
        _input("voltage_b", 0x0002),
        _input("voltage_c", 0x0004),
        _input("current_a", 0x0006),
        _input("current_b", 0x0008),
        _input("current_c", 0x000A),
        _input("active_power", 0x0034, 1e-3),
        _input("reactive_power", 0x003C, 1e-3),
        _input("power_factor", 0x003E),
        _input("frequency", 0x0046),
        _input("energy", 0x0048),
        _input("voltage_ab", 0x00C8),
        _input("voltage_bc", 0x00CA),
        _input("voltage_ca", 0x00CC),
    ),
)
"""Eastron SDM630: float32 in input registers, W and var."""

BUILT_IN: Mapping[str, ModbusProfileSettings] = {SDM630.name: SDM630}
