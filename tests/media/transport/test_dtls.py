"""DTLS as the server: flights, fingerprints, keys."""

import datetime

import pytest
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from media.errors import ClosedByPeer, DtlsFailed, FingerprintMismatch
from media.transport.dtls import MAX_DATAGRAM_BYTES, DtlsSession, new_identity, split_flight
from media.transport.srtp import split_keys

IDENTITY = new_identity(datetime.datetime.now(datetime.UTC))
CERTIFICATE = RTCCertificate.generateCertificate()
FINGERPRINTS = tuple((each.algorithm, each.value) for each in CERTIFICATE.getFingerprints())


class Handshake:
    """A client and our session, joined by hand."""

    def __init__(self, *, profiles: bool = True) -> None:
        context = CERTIFICATE._create_ssl_context(SRTP_PROFILES)
        if not profiles:
            context = SSL.Context(SSL.DTLS_METHOD)
            context.use_certificate(CERTIFICATE._cert)
            context.use_privatekey(CERTIFICATE._key)
        self.client = SSL.Connection(context, None)
        self.client.set_connect_state()
        self.server = DtlsSession(IDENTITY)
        self.sizes: list[int] = []

    def run(self) -> None:
        for _ in range(10):
            try:
                self.client.do_handshake()
            except SSL.WantReadError:
                pass
            self.to_server()
            for datagram in self.server.outgoing():
                self.sizes.append(len(datagram))
                self.client.bio_write(datagram)
            if self.server.handshaken:
                return

    def to_server(self) -> None:
        try:
            for datagram in split_flight(self.client.bio_read(65536)):
                self.server.receive(datagram)
        except SSL.WantReadError:
            pass


def test_both_ends_get_the_same_keys_and_our_choice_of_profile() -> None:
    handshake = Handshake()
    handshake.server.expect(FINGERPRINTS)
    handshake.run()
    assert handshake.server.ready
    keys = handshake.server.keys()
    assert keys.profile.name == b"SRTP_AEAD_AES_128_GCM"
    assert handshake.client.get_selected_srtp_profile() == b"SRTP_AEAD_AES_128_GCM"
    exported = handshake.client.export_keying_material(b"EXTRACTOR-dtls_srtp", keys.profile.exported_bytes)
    assert split_keys(keys.profile, exported, server=False).send == keys.receive
    assert max(handshake.sizes) <= MAX_DATAGRAM_BYTES


def fragments(record: bytes, size: int) -> list[bytes]:
    """One record with one handshake message, as several records with a fragment each (RFC 6347 4.2.3)."""
    message = record[25:]
    made = []
    for number, offset in enumerate(range(0, len(message), size)):
        part = message[offset : offset + size]
        body = record[13:19] + offset.to_bytes(3, "big") + len(part).to_bytes(3, "big") + part
        made.append(record[:5] + number.to_bytes(6, "big") + len(body).to_bytes(2, "big") + body)
    return made


@pytest.mark.parametrize("backwards", [False, True])
def test_a_client_hello_in_many_fragments_is_put_together(backwards: bool) -> None:
    handshake = Handshake()
    with pytest.raises(SSL.WantReadError):
        handshake.client.do_handshake()
    parts = fragments(handshake.client.bio_read(65536), 40)
    assert len(parts) > 3
    for part in reversed(parts) if backwards else parts:
        assert handshake.server.outgoing() == []
        handshake.server.receive(part)
    assert handshake.server.outgoing()


def test_keys_stay_in_until_the_certificate_is_known_to_be_right() -> None:
    handshake = Handshake()
    handshake.run()
    assert handshake.server.handshaken
    assert not handshake.server.ready
    with pytest.raises(FingerprintMismatch):
        handshake.server.keys()
    handshake.server.expect(FINGERPRINTS)
    assert handshake.server.ready


@pytest.mark.parametrize(
    "fingerprints",
    [
        (),
        (("sha-256", ":".join(["00"] * 32)),),
        (("sha-1", ":".join(["00"] * 20)),),
        (FINGERPRINTS[0], ("sha-512", ":".join(["00"] * 64))),
    ],
    ids=["none", "another", "weak", "strongest differs"],
)
def test_another_certificate_is_an_error(fingerprints: tuple[tuple[str, str], ...]) -> None:
    early, late = Handshake(), Handshake()
    early.server.expect(fingerprints)
    with pytest.raises(FingerprintMismatch):
        early.run()
    assert not early.server.ready
    late.run()
    with pytest.raises(FingerprintMismatch):
        late.server.expect(fingerprints)


def test_one_of_several_values_of_the_strongest_hash_is_enough() -> None:
    handshake = Handshake()
    handshake.server.expect((("sha-256", ":".join(["00"] * 32)), ("SHA-256", FINGERPRINTS[0][1].lower())))
    handshake.run()
    assert handshake.server.ready


def test_a_client_without_srtp_fails() -> None:
    handshake = Handshake(profiles=False)
    handshake.server.expect(FINGERPRINTS)
    handshake.run()
    assert handshake.server.ready
    with pytest.raises(DtlsFailed, match="SRTP"):
        handshake.server.keys()


def test_close_notify_ends_the_session() -> None:
    handshake = Handshake()
    handshake.server.expect(FINGERPRINTS)
    handshake.run()
    handshake.client.do_handshake()
    handshake.client.shutdown()
    with pytest.raises(ClosedByPeer):
        handshake.to_server()


def record(length: int) -> bytes:
    return b"\x16\xfe\xfd" + bytes(8) + length.to_bytes(2, "big") + bytes(length)


def test_a_flight_is_cut_between_records() -> None:
    flight = record(500) + record(600) + record(200) + record(1100)
    assert [len(each) for each in split_flight(flight)] == [513 + 613, 213, 1113]
    assert split_flight(b"") == []


@given(st.binary(max_size=3000))
def test_cutting_loses_no_byte(data: bytes) -> None:
    assert b"".join(split_flight(data)) == data


@settings(max_examples=50)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5))
def test_any_datagrams_are_taken_or_end_the_transport_with_a_reason(datagrams: list[bytes]) -> None:
    session = DtlsSession(IDENTITY)
    try:
        for datagram in datagrams:
            session.receive(b"\x16\xfe\xfd" + datagram)
            session.outgoing()
    except DtlsFailed:
        pass
