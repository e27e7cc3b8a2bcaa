"""What the fuzzer begins with and what it has found is fed again, whole, cut and with bits turned."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from media import rtcp, rtp
from media.transport import stun
from tests.fuzz.targets import HERE, TARGETS, VECTORS

CHANGED = 40
"""Changed copies of each seed. One that hangs meets the time limit of all tests."""


def _made(target: str) -> Iterator[bytes]:
    """Seeds that our own writers make."""
    if target == "stun":
        request = stun.build(
            stun.BINDING_REQUEST, bytes(12), [(stun.USERNAME, b"ours:theirs"), (stun.USE_CANDIDATE, b"")], "password"
        )
        yield request
        yield stun.binding_success(stun.parse(request), ("2001:db8::1", 5), "password")
    elif target == "rtp":
        block = rtp.pack_extensions([(1, b"\x80"), (4, b"0"), (3, b"\x00\x07")])
        plain = rtp.pack(b"\x90\x80\x80\x01\x00rest", payload_type=96, sequence=1, timestamp=2, ssrc=3, marker=True)
        yield b"\x00" + plain
        yield b"\x02" + bytes((plain[0] | 0x10,)) + plain[1:12] + block + plain[12:]
    elif target == "rtcp":
        block_ = rtcp.ReportBlock(1, 2, 3, 4, 5, 6, 7)
        yield rtcp.compound(
            [
                rtcp.SenderReport(1, 2, 3, 4, 5),
                rtcp.ReceiverReport(1, (block_,)),
                rtcp.Nack(1, 2, (3, 4, 90)),
                rtcp.Pli(1, 2),
                rtcp.Fir(1, ((2, 3),)),
                rtcp.Remb(1, 500_000, (2, 3)),
                rtcp.Bye((1, 2)),
            ]
        )
    elif target == "payloads":
        for codec, first in enumerate((b"\x10\x00", b"\x08\x00", b"\x65\x00", b"\x18\x0a", b"\xfc\xff")):
            yield bytes((codec, len(first), 1)) + first + bytes((9, 1)) + b"\x7c\x85" + bytes(7)
    elif target == "tcp":
        yield b"\x00\x04\x00\x01\x00\x00\x00\x02\x80\x60"
    elif target == "dtls":
        yield bytes.fromhex("16feff0000000000000000002c010000200000000000000020fefd") + bytes(32)
    elif target == "sdp":
        yield from (path.read_bytes() for path in sorted(VECTORS.glob("*.sdp")))


def seeds(target: str) -> list[bytes]:
    """All that is fed to a target at first."""
    kept = HERE / "corpus" / target
    return [*_made(target), *(path.read_bytes() for path in sorted(kept.glob("*")) if path.is_file())]


def changed(seed: bytes, dice: random.Random) -> bytes:
    """A copy that is cut, longer, or has other bytes in it."""
    data = bytearray(seed)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(4):
            case 0:
                del data[at:]
            case 1:
                data[at:at] = dice.randbytes(dice.randint(1, 8))
            case 2 if at < len(data):
                data[at] ^= 1 << dice.randrange(8)
            case _ if at < len(data):
                data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(data)


@pytest.mark.parametrize("target", TARGETS)
def test_only_documented_errors_come_out_and_nothing_hangs(target: str) -> None:
    dice = random.Random(target)
    found = seeds(target)
    assert found
    for seed in found:
        for data in (seed, b"", *(changed(seed, dice) for _ in range(CHANGED))):
            TARGETS[target](data)


def test_every_kept_input_belongs_to_a_target() -> None:
    assert {path.name for path in Path(HERE / "corpus").glob("*/")} <= set(TARGETS)
