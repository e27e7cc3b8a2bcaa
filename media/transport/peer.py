"""One peer's transport: ICE-lite, DTLS and SRTP keys, from `connecting` to `closed`.

    connecting ──keys ready──► connected ◄──heard again── disconnected
        │                         │   └──silent for 8 s──────►│
        └── ice_timeout ──────────┴── consent_lost, closed_by_peer, dtls_failed ──► closed
            fingerprint_mismatch, closed: from any state

What it sends goes through the forwarder; what becomes of it is told to one listener. Time comes in as `now`.
"""

from collections.abc import Callable
from typing import Literal

from media.errors import TransportError
from media.forwarder.interface import Forwarder
from media.rtpparameters import RemoteTransport
from media.transport import stun
from media.transport.dtls import DtlsIdentity, DtlsSession
from media.transport.icelite import Credentials, IceLite
from media.transport.srtp import SrtpPair
from media.transport.stun import Address

CONNECT_S = 15.0
"""From the remote description to keys."""
DESCRIBE_S = 60.0
"""An offer of ours that nobody has answered by then is not going to be answered."""
DISCONNECTED_S = 8.0
"""Nothing authentic from the peer for this long; browsers check every 2.5 s, other agents every 5 to 6 s."""

State = Literal["connecting", "connected", "disconnected", "closed"]
Listener = Callable[["PeerTransport", State, str, str], None]
"""transport, new state, reason, detail"""


class PeerTransport:
    """See the module's head. `number` is the forwarder's, `name` the server's."""

    def __init__(
        self,
        number: int,
        name: str,
        credentials: Credentials,
        *,
        forwarder: Forwarder,
        identity: DtlsIdentity,
        listener: Listener,
        now: float,
    ) -> None:
        self.number = number
        self.name = name
        self._forwarder = forwarder
        self._listener = listener
        self.ice = IceLite(credentials, now)
        self.dtls = DtlsSession(identity)
        self.state: State = "connecting"
        self.reason = ""
        self.remote: RemoteTransport | None = None
        self._made_at = now
        self._described_at: float | None = None
        self._connected_before = False
        self.last_heard = now
        forwarder.open_peer(number)

    def restarts(self, remote: RemoteTransport) -> bool:
        """Whether this description begins an ICE restart (RFC 8839 4.4.3.1.1)."""
        known = self.remote
        return known is not None and (known.ufrag, known.password) != (remote.ufrag, remote.password)

    def describe(self, remote: RemoteTransport, now: float) -> None:
        """What the SDP says of the other end.

        Raises:
            FingerprintMismatch: the peer has shown another certificate already.
        """
        if self.remote is None or self.restarts(remote):
            self._described_at = now
        self.remote = remote
        self.dtls.expect(remote.fingerprints)
        self._proceed(now)

    def check(self, request: stun.Message, address: Address, now: float) -> bool:
        """A STUN request with one of our ufrags; False when it is not authentic."""
        answer = self.ice.check(request, address, now)
        if answer is None:
            return False
        if answer.forgotten is not None:
            self._forwarder.dismiss(answer.forgotten, self.number)
        # Each time: another peer may have proven the same address meanwhile.
        self._forwarder.admit(address, self.number)
        if answer.selected:
            self._forwarder.set_destination(self.number, address)
        self._forwarder.send(address, answer.datagram)
        self.heard(now)
        return True

    def receive_dtls(self, datagram: bytes, address: Address, now: float) -> None:
        """Raises:
        TransportError: the transport is over.
        """
        try:
            self.dtls.receive(datagram)
        finally:
            self._send_dtls(self.ice.selected or address)
        self._proceed(now)

    def _proceed(self, now: float) -> None:
        """From a finished and verified handshake to keys, once."""
        if self._connected_before or not self.dtls.ready:
            return
        self._connected_before = True
        self._forwarder.set_keys(self.number, SrtpPair(self.dtls.keys()))
        self.last_heard = now
        self._become("connected")

    def heard(self, now: float) -> None:
        """Something authentic came from the peer."""
        self.last_heard = now
        if self.state == "disconnected":
            self._become("connected")

    def tick(self, now: float) -> None:
        """Timeouts; call about ten times a second while connecting, once a second afterwards.

        Raises:
            TransportError: the transport is over; its `reason` says why.
        """
        if not self.dtls.handshaken:
            self.dtls.tick()
            if self.ice.selected is not None:
                self._send_dtls(self.ice.selected)
        if not self._connected_before:
            if self._described_at is None and now - self._made_at >= DESCRIBE_S:
                raise _Timeout("ice_timeout", f"The offer was not answered within {DESCRIBE_S:.0f} s.")
            if self._described_at is not None and now - self._described_at >= CONNECT_S:
                raise _Timeout("ice_timeout", self._why_not_connected())
        elif not self.ice.has_consent(now):
            raise _Timeout("consent_lost", "The peer has sent no valid connectivity check for 30 s.")
        elif self.state == "connected" and now - self.last_heard >= DISCONNECTED_S:
            self._become("disconnected", "silent", f"Nothing has come from the peer for {DISCONNECTED_S:.0f} s.")

    def _why_not_connected(self) -> str:
        if not self.ice.addresses:
            return f"No connectivity check reached the media port within {CONNECT_S:.0f} s: UDP and TCP are blocked."
        if not self.dtls.started:
            return "Connectivity checks arrive, but the peer has not begun the DTLS handshake."
        return f"The DTLS handshake was not finished within {CONNECT_S:.0f} s."

    def close(self, reason: str, detail: str) -> None:
        """Say goodbye, free everything, tell the listener. Further calls do nothing."""
        if self.state == "closed":
            return
        if self.ice.selected is not None and reason != "closed_by_peer":
            self.dtls.close()
            self._send_dtls(self.ice.selected)
        self._forwarder.close_peer(self.number)
        self._become("closed", reason, detail)

    def _send_dtls(self, address: Address) -> None:
        for datagram in self.dtls.outgoing():
            self._forwarder.send(address, datagram)

    def _become(self, state: State, reason: str = "", detail: str = "") -> None:
        self.state = state
        self.reason = reason
        self._listener(self, state, reason, detail)


class _Timeout(TransportError):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
