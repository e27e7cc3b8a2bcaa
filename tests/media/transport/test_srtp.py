"""Keys from DTLS, and the two ways to protect."""

import pytest

from media.transport.srtp import (
    PROFILES,
    Profile,
    SrtpPair,
    copying_functions,
    in_place_functions,
    length_cell,
    pointer_to,
    split_keys,
)

PACKET = bytes([0x80, 96, 0, 9, 0, 0, 0, 2, 0, 0, 0, 3]) + bytes(range(200))


def pairs(profile: Profile) -> tuple[SrtpPair, SrtpPair]:
    exported = bytes(range(profile.exported_bytes))
    return SrtpPair(split_keys(profile, exported)), SrtpPair(split_keys(profile, exported, server=False))


def test_exported_bytes_are_client_key_server_key_client_salt_server_salt() -> None:
    keys = split_keys(PROFILES[0], b"C" * 16 + b"S" * 16 + b"c" * 12 + b"s" * 12)
    assert keys.receive == b"C" * 16 + b"c" * 12
    assert keys.send == b"S" * 16 + b"s" * 12


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name.decode())
def test_in_place_and_copying_make_the_same_bytes(profile: Profile) -> None:
    in_place = in_place_functions()
    assert in_place is not None
    memory, length = bytearray(PACKET) + bytearray(32), length_cell()
    length[0] = len(PACKET)
    server, client = pairs(profile)
    assert in_place[0](server.send_context, pointer_to(memory), length) == 0
    protected = bytes(memory[: length[0]])
    again, length = bytearray(PACKET) + bytearray(32), length_cell()
    length[0] = len(PACKET)
    assert copying_functions()[0](pairs(profile)[0].send_session, pointer_to(again), length) == 0
    assert bytes(again[: length[0]]) == protected
    assert client.receive_session.unprotect(protected) == PACKET


def test_the_copying_way_tells_libsrtp_s_status() -> None:
    _, unprotect = copying_functions()
    memory, length = bytearray(PACKET) + bytearray(32), length_cell()
    length[0] = len(PACKET)
    assert unprotect(pairs(PROFILES[0])[0].receive_session, pointer_to(memory), length) == 7
    assert bytes(memory[: len(PACKET)]) == PACKET


def test_foreign_rtcp_is_none() -> None:
    server, client = pairs(PROFILES[0])
    report = bytes.fromhex("80c9000100000001")
    assert server.unprotect_rtcp(client.protect_rtcp(report)) == report
    assert server.unprotect_rtcp(report + bytes(20)) is None
    assert server.unprotect_rtcp(b"") is None
