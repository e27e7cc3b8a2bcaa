"""Many peers on one UDP port (RFC 7983): STUN finds its peer by ufrag, all else by address.

The forwarder gives up what is not RTP; this hands it to the right `PeerTransport`, keeps strangers from costing much,
and ends peers whose transport is over.
"""

import logging
from collections.abc import Callable, Iterator

from media.errors import PacketError, TransportError
from media.forwarder.interface import Forwarder, Handed, Kind
from media.rtpparameters import LocalTransport
from media.transport import stun
from media.transport.dtls import DtlsIdentity
from media.transport.guard import StrangerGuard
from media.transport.icelite import Credentials
from media.transport.peer import Listener, PeerTransport
from media.transport.stun import Address

log = logging.getLogger(__name__)


class Mux:
    """All transports of one socket."""

    def __init__(
        self,
        forwarder: Forwarder,
        identity: DtlsIdentity,
        candidates: tuple[Address, ...],
        guard: StrangerGuard,
        listener: Listener,
        *,
        tcp: tuple[Address, ...] = (),
    ) -> None:
        self._forwarder = forwarder
        self._identity = identity
        self._candidates = candidates
        self._tcp = tcp
        self._guard = guard
        self._listener = listener
        self._by_number: dict[int, PeerTransport] = {}
        self._by_ufrag: dict[str, PeerTransport] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[PeerTransport]:
        return iter(tuple(self._by_number.values()))

    def local(self, credentials: Credentials) -> LocalTransport:
        """Our end of a transport with these credentials."""
        return LocalTransport(
            credentials.ufrag, credentials.password, self._identity.fingerprint, self._candidates, self._tcp
        )

    def number(self) -> int:
        """A number of a peer that is not here, never used before."""
        self._next += 1
        return self._next - 1

    def open(self, name: str, credentials: Credentials, now: float) -> PeerTransport:
        """A new peer. To be called before the other end learns the credentials, so that no early packet is lost."""
        transport = PeerTransport(
            self._next,
            name,
            credentials,
            forwarder=self._forwarder,
            identity=self._identity,
            listener=self._listener,
            now=now,
        )
        self._next += 1
        self._by_number[transport.number] = transport
        self._by_ufrag[transport.ice.credentials.ufrag] = transport
        return transport

    def restart(self, transport: PeerTransport, credentials: Credentials) -> None:
        """New ICE credentials; those before stay valid until the next restart."""
        forgotten = transport.ice.restart(credentials)
        self._by_ufrag[credentials.ufrag] = transport
        if forgotten is not None:
            self._by_ufrag.pop(forgotten, None)

    def close(self, transport: PeerTransport, reason: str, detail: str = "") -> None:
        """Ends a peer; the listener hears of it."""
        if self._by_number.pop(transport.number, None) is None:
            return
        for ufrag in transport.ice.ufrags:
            self._by_ufrag.pop(ufrag, None)
        transport.close(reason, detail)

    def guarded(self, transport: PeerTransport, step: Callable[[], None]) -> None:
        """Do something that may end the transport."""
        try:
            step()
        except TransportError as error:
            log.info("Peer %s is closed (%s): %s", transport.name, error.reason, error)
            self.close(transport, error.reason, str(error))

    def handle(self, handed: Handed, now: float) -> None:
        """STUN or DTLS from the forwarder."""
        if handed.kind is Kind.STUN:
            self._stun(handed, now)
        elif handed.kind is Kind.DTLS:
            transport = self._by_number.get(handed.peer)
            if transport is None:
                self._forwarder.counters.dropped_dtls += 1
                return
            self.guarded(transport, lambda: transport.receive_dtls(handed.data, handed.address, now))

    def _stun(self, handed: Handed, now: float) -> None:
        counters = self._forwarder.counters
        if not handed.peer and not self._guard.admits(handed.address[0], now):
            counters.dropped_stun_rate += 1
            return
        try:
            message = stun.parse(handed.data)
        except PacketError as error:
            counters.dropped_stun += 1
            log.debug("A STUN datagram from %s was dropped: %s", handed.address[0], error)
            return
        transport = self._by_ufrag.get(message.username.partition(":")[0])
        if transport is None or not transport.check(message, handed.address, now):
            counters.dropped_stun += 1
