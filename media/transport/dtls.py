"""DTLS as the server, sans-IO over OpenSSL's memory BIO (RFC 9147, RFC 6347, RFC 5764, RFC 8122).

We are the server on every leg, so that the SRTP profile is our choice. The certificate proves nothing by itself: it
is compared with the fingerprint of the SDP, and no key leaves here before that. A flight is sent in datagrams of at
most `MAX_DATAGRAM_BYTES`, cut between records.
"""

import datetime
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from media.errors import ClosedByPeer, DtlsFailed, FingerprintMismatch
from media.transport.srtp import PROFILES, SrtpKeys, split_keys

MAX_DATAGRAM_BYTES = 1200
_RECORD_HEADER_BYTES = 13
_EXPORTER_LABEL = b"EXTRACTOR-dtls_srtp"
_HASHES = ("sha-512", "sha-384", "sha-256")
"""Strongest first; weaker ones are no proof."""


@dataclass(frozen=True, slots=True)
class DtlsIdentity:
    """One certificate and one OpenSSL context, shared by all peers of a process."""

    context: SSL.Context
    fingerprint: str
    """`sha-256 AB:CD:...`"""


def new_identity(now: datetime.datetime) -> DtlsIdentity:
    """A fresh self-signed P-256 certificate, valid for a year around `now` (UTC)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lamproom")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    context = SSL.Context(SSL.DTLS_SERVER_METHOD)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_QUERY_MTU)
    # Any certificate is taken here and compared with the SDP afterwards.
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    context.set_cipher_list(
        b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"
    )
    context.set_tlsext_use_srtp(b":".join(profile.name for profile in PROFILES))
    return DtlsIdentity(context, f"sha-256 {fingerprint(certificate, 'sha-256')}")


def fingerprint(certificate: x509.Certificate, name: str) -> str:
    """Upper-case hex with colons, as in SDP."""
    digest = hashlib.new(name.replace("-", ""), certificate.public_bytes(Encoding.DER)).digest()
    return digest.hex(":").upper()


def split_flight(flight: bytes) -> list[bytes]:
    """Records packed into datagrams of at most `MAX_DATAGRAM_BYTES`; a record is never cut."""
    datagrams: list[bytes] = []
    start = end = 0
    while end + _RECORD_HEADER_BYTES <= len(flight):
        length = _RECORD_HEADER_BYTES + int.from_bytes(flight[end + 11 : end + 13], "big")
        if end > start and end + length - start > MAX_DATAGRAM_BYTES:
            datagrams.append(flight[start:end])
            start = end
        end += length
    if start < len(flight):
        datagrams.append(flight[start:])
    return datagrams


class DtlsSession:
    """One handshake and what follows. Call `receive` for each datagram and `tick` now and then; send `outgoing()`."""

    def __init__(self, identity: DtlsIdentity) -> None:
        self._ssl = SSL.Connection(identity.context, None)
        self._ssl.set_accept_state()
        self._ssl.set_ciphertext_mtu(MAX_DATAGRAM_BYTES)
        self._expected: tuple[tuple[str, str], ...] | None = None
        self._verified = False
        self.handshaken = False
        self.started = False

    def expect(self, fingerprints: tuple[tuple[str, str], ...]) -> None:
        """What the SDP says of the peer's certificate; may come after the handshake.

        Raises:
            FingerprintMismatch: the handshake is done and the certificate is another one.
        """
        self._expected = fingerprints
        self._verified = False
        if self.handshaken:
            self._verify()

    def receive(self, datagram: bytes) -> None:
        """One datagram of the peer.

        Raises:
            DtlsFailed: the handshake cannot go on.
            FingerprintMismatch: the certificate is not the announced one.
            ClosedByPeer: close_notify.
        """
        if not datagram:
            return  # OpenSSL takes it for an error
        self.started = True
        self._ssl.bio_write(datagram)
        if self.handshaken:
            self._read()
        else:
            self._shake()

    def _shake(self) -> None:
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as error:
            raise DtlsFailed(f"The DTLS handshake failed: {_words(error)}.") from error
        self.handshaken = True
        if self._expected is not None:
            self._verify()

    def _read(self) -> None:
        """Application data is not for us; alerts and repeated flights are handled by OpenSSL on the way."""
        for _ in range(16):
            try:
                self._ssl.recv(2048)
            except SSL.WantReadError:
                return
            except SSL.ZeroReturnError as error:
                raise ClosedByPeer("The peer closed its DTLS session.") from error
            except SSL.Error as error:
                raise DtlsFailed(f"The DTLS session broke: {_words(error)}.") from error

    def _verify(self) -> None:
        certificate = self._ssl.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            raise FingerprintMismatch("The peer showed no certificate.")
        for name in _HASHES:
            values = {value.upper() for hash_name, value in self._expected or () if hash_name.lower() == name}
            if values:
                shown = fingerprint(certificate, name)
                if shown not in values:
                    raise FingerprintMismatch(
                        f"The peer's certificate has the {name} fingerprint {shown}, not the SDP's."
                    )
                self._verified = True
                return
        raise FingerprintMismatch("The SDP names no fingerprint of a hash that we trust.")

    def tick(self) -> None:
        """Send the last flight again when its time has come. OpenSSL keeps the clock of this.

        Raises:
            DtlsFailed: too many timeouts.
        """
        if self.handshaken or not self.started:
            return
        try:
            if self._ssl.DTLSv1_get_timeout() == 0:
                self._ssl.DTLSv1_handle_timeout()
        except SSL.Error as error:
            raise DtlsFailed(f"The DTLS handshake timed out: {_words(error)}.") from error

    def outgoing(self) -> list[bytes]:
        """Datagrams to be sent now."""
        parts: list[bytes] = []
        while True:
            try:
                parts.append(self._ssl.bio_read(65536))
            except SSL.WantReadError:
                return split_flight(b"".join(parts))

    @property
    def ready(self) -> bool:
        """The handshake is done and the certificate is the announced one."""
        return self.handshaken and self._verified

    def keys(self) -> SrtpKeys:
        """Only when `ready`.

        Raises:
            DtlsFailed: no SRTP profile in common.
        """
        if not self.ready:
            raise FingerprintMismatch("The keys of an unverified peer are not given out.")
        name = self._ssl.get_selected_srtp_profile()
        profile = next((each for each in PROFILES if each.name == name), None)
        if profile is None:
            raise DtlsFailed("The peer shares none of our SRTP profiles.")
        return split_keys(profile, self._ssl.export_keying_material(_EXPORTER_LABEL, profile.exported_bytes))

    def close(self) -> None:
        """Prepare close_notify; `outgoing` holds it then."""
        if self.handshaken:
            try:
                self._ssl.shutdown()
            except SSL.Error:
                return  # the session is broken already, there is nothing left to say


def _words(error: SSL.Error) -> str:
    """OpenSSL's error queue in words."""
    queue = error.args[0] if error.args else ""
    if isinstance(queue, list):
        return "; ".join(" ".join(part for part in entry if part) for entry in queue) or "no reason given"
    return str(queue) or type(error).__name__
