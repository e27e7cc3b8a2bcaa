"""The sockets of one m-line: whom packets are taken from, what is encrypted, where packets and reports go."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

import pylibsrtp
from pylibsrtp import Policy, Session

from media import rtcp, rtp
from media.errors import PacketError
from media.phone import ports
from media.phone.messages import Profile
from media.phone.sdes import Crypto
from media.phone.sourcelock import Address, SourceLock

log = logging.getLogger(__name__)


class Agreed(Protocol):
    """What an agreement says about where packets go; of sound or of pictures."""

    @property
    def address(self) -> Address | None: ...
    @property
    def control(self) -> Address | None: ...
    @property
    def mux(self) -> bool: ...
    @property
    def ours(self) -> Crypto | None: ...
    @property
    def theirs(self) -> Crypto | None: ...


MAX_SOURCES = 64
"""SSRCs that one key of theirs may have. libsrtp keeps a state for each; one more is dropped until the key changes."""


class Inbound:
    """Decrypts with one key of theirs."""

    def __init__(self, crypto: Crypto) -> None:
        self._session = _session(crypto, Policy.SSRC_ANY_INBOUND)
        self._sources: set[int] = set()

    def media(self, packet: bytes) -> bytes | None:
        """None: too many sources. Raises pylibsrtp.Error, ValueError."""
        return self._of(int.from_bytes(packet[8:12], "big"), self._session.unprotect(packet))

    def reports(self, packet: bytes) -> bytes | None:
        return self._of(int.from_bytes(packet[4:8], "big"), self._session.unprotect_rtcp(packet))

    def _of(self, ssrc: int, plain: bytes) -> bytes | None:
        """What was decrypted, but for one source too many: what libsrtp has kept of that is given back."""
        if ssrc not in self._sources:
            if len(self._sources) >= MAX_SOURCES:
                self._session.remove_stream(ssrc)
                return None
            self._sources.add(ssrc)
        return plain


class Wire:
    """Nothing is taken or sent before `agree`."""

    def __init__(self, leg: str, pair: ports.PortPair, learn_s: float) -> None:
        self.pair = pair
        self.dropped: Counter[str] = Counter()
        self.lock = SourceLock(learn_s)
        self._leg = leg
        self._agreed: Agreed | None = None
        self._srtp_in: Inbound | None = None
        self._srtp_out: Session | None = None
        self._control_source: Address | None = None

    @property
    def encrypted(self) -> bool:
        return self._srtp_in is not None

    def agree(self, agreed: Agreed, profile: Profile, now: float) -> bool:
        """Whether there is another address to send to, or a first one."""
        before, self._agreed = self._agreed, agreed
        self._key(agreed, before)
        # On hold with c=0.0.0.0 there is no address: what was learned stays for the time after.
        if agreed.address is None and before is not None:
            return False
        if self.lock.agree(agreed.address, symmetric=profile.symmetric, now=now, host=profile.signalled_ip):
            self._control_source = None
        return before is None or before.address != agreed.address

    def _key(self, agreed: Agreed, before: Agreed | None) -> None:
        if agreed.theirs is None or agreed.ours is None:
            self._srtp_in = self._srtp_out = None
            return
        if before is None or before.theirs is None or not before.theirs.same_key(agreed.theirs):
            self._srtp_in = Inbound(agreed.theirs)
        if before is None or before.ours is None or not before.ours.same_key(agreed.ours):
            self._srtp_out = _session(agreed.ours, Policy.SSRC_ANY_OUTBOUND)

    # --- media --------------------------------------------------------------------------------------------------------

    def open(
        self, datagram: ports.Datagram, now: float, knows: Callable[[int], bool]
    ) -> tuple[bytes, bool] | None:  # fmt: skip
        """The packet, plain, and whether it is the first from its sender; None for what is counted and dropped.
        `knows`: payload types that were agreed."""
        packet = datagram.data
        if self._agreed is None or not self.lock.could_be(datagram.address, now):
            self.dropped["stranger"] += 1
            return None
        if len(packet) < rtp.HEADER_BYTES or packet[0] >> 6 != 2:
            self.dropped["malformed"] += 1
            return None
        if self._srtp_in is not None:
            try:
                plain = self._srtp_in.media(packet)
            except (pylibsrtp.Error, ValueError):
                self.dropped["srtp"] += 1
                return None
            if plain is None:
                self.dropped["sources"] += 1
                return None
            packet = plain
        if not knows(packet[1] & 0x7F):
            self.dropped["payload_type"] += 1
            return None
        verdict = self.lock.check(datagram.address, int.from_bytes(packet[8:12], "big"), now)
        if verdict in ("stranger", "ssrc"):
            self.dropped[verdict] += 1
            return None
        return packet, verdict == "locked"

    def send(self, packet: bytes, to: Address) -> None:
        if self._srtp_out is not None:
            try:
                packet = self._srtp_out.protect(packet)
            except pylibsrtp.Error:
                self.dropped["protect"] += 1
                return
        ports.send(self.pair.rtp, packet, self._written(to))

    def _written(self, to: Address) -> Address:
        """As our sockets want it."""
        return (ports.MAPPED + to[0], to[1]) if self.pair.wide and ":" not in to[0] else to

    # --- reports ------------------------------------------------------------------------------------------------------

    def reports(self, datagram: ports.Datagram) -> list[rtcp.Packet]:
        """Reports are taken from the IP address that media comes from, and no other."""
        to = self.lock.destination()
        if to is None or datagram.address[0] != to[0] or self._agreed is None:
            self.dropped["stranger"] += 1
            return []
        packet: bytes | None = datagram.data
        try:
            if self._srtp_in is not None:
                packet = self._srtp_in.reports(datagram.data)
            packets = [] if packet is None else rtcp.parse(packet)
        except (pylibsrtp.Error, ValueError, PacketError) as error:
            self.dropped["rtcp"] += 1
            log.debug("An RTCP packet of leg %s was dropped: %s", self._leg, error)
            return []
        if not self._agreed.mux:
            self._control_source = datagram.address
        return packets

    def control_address(self) -> Address | None:
        """Only once media has come: to where reports come from, else beside where media goes."""
        agreed, to = self._agreed, self.lock.destination()
        if agreed is None or to is None:
            return None
        if agreed.mux:
            return to
        if self._control_source is not None:
            return self._control_source
        if agreed.control is not None and agreed.control[0] == to[0]:
            return agreed.control
        return (to[0], min(65535, to[1] + 1))

    def report(self, packets: Iterable[rtcp.Packet]) -> None:
        """Nothing goes out before it is known where to."""
        to = self.control_address()
        if to is None or self._agreed is None:
            return
        packet = rtcp.compound(packets)
        if self._srtp_out is not None:
            try:
                packet = self._srtp_out.protect_rtcp(packet)
            except pylibsrtp.Error:
                self.dropped["protect"] += 1
                return
        ports.send(self.pair.rtp if self._agreed.mux else self.pair.rtcp, packet, self._written(to))


def _session(crypto: Crypto, ssrc_type: int) -> Session:
    policy = Policy(key=crypto.key, ssrc_type=ssrc_type, srtp_profile=crypto.suite.profile)
    policy.window_size = 1024
    policy.allow_repeat_tx = True
    return Session(policy)
