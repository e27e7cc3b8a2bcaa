"""The pictures of one call: a port pair of their own, packets both ways, and who asks whom for a key frame.

| who misses something | is asked by |
|---|---|
| browsers, of the phone's picture | PLI to the phone (RFC 4585), after a second in vain FIR as well (RFC 5104) |
| the phone, of the room's picture | its PLI, its FIR, or `picture_fast_update` by INFO (RFC 5168): a byte to the tap |
"""

import time
from collections.abc import Callable

from media import rtcp, rtp
from media.errors import RtpError
from media.feedback import Reception
from media.keyframes import is_keyframe_start
from media.phone import ports
from media.phone.messages import Profile
from media.phone.pictures import Relay, Show
from media.phone.videodescription import CLOCK_RATE, VideoAgreement
from media.phone.wire import Wire
from media.sourcetime import middle, ntp
from media.tap import AccessUnit

PACKETS_PER_TICK = 100
"""Of one leg: 5000 a second."""
MAX_PACKET_BYTES = 65_535
"""In packetization mode 0 a picture may come in one packet."""
CONTROL_EVERY_S = 5.0
ASK_EVERY_S = 0.5
INSIST_AFTER = 2
"""Requests without a key frame, until FIR goes out beside PLI."""
ASK_AT_MOST = 20
"""Of one need: a phone that does not hear is not asked for ever."""
WISH_EVERY_S = 0.5
"""How often a phone's wishes are passed on."""


class VideoLeg:
    """See the module's head."""

    def __init__(self, leg: str, pair: ports.PortPair, learn_s: float, now: float) -> None:
        self.pair = pair
        self.agreement: VideoAgreement | None = None
        self.show = Show()
        self.relay: Relay | None = None
        self.packets = self.keyframes = 0
        self._wire = Wire(leg, pair, learn_s)
        self._reception = Reception(CLOCK_RATE)
        self._ssrc: int | None = None
        self._last_report: tuple[int, float] = (0, 0.0)
        self._control_at = now + CONTROL_EVERY_S
        self._asked = 0
        self._asking = False
        self._ask_at = now
        self._fir = 0
        self._wish_at = now

    @property
    def dropped(self) -> int:
        return self._wire.dropped.total()

    def agree(self, agreement: VideoAgreement | None, profile: Profile, now: float) -> None:
        """None: no pictures any more."""
        self.agreement = agreement
        if agreement is not None:
            self._wire.agree(agreement, profile, now)

    @property
    def receives(self) -> bool:
        return self.agreement is not None and self.agreement.direction in ("sendrecv", "recvonly")

    @property
    def sends(self) -> bool:
        return self.agreement is not None and self.agreement.direction in ("sendrecv", "sendonly")

    # --- from the phone -----------------------------------------------------------------------------------------------

    def take_in(self, now: float, wall_to_now: float, hand_in: Callable[[bytes], object] | None) -> None:
        """Everything that waits at both sockets; packets with numbers of ours go to `hand_in`."""
        for datagram in ports.receive(self.pair.rtp, PACKETS_PER_TICK, MAX_PACKET_BYTES):
            if rtp.is_rtcp(datagram.data) and datagram.data[0] >> 6 == 2:
                self._reports(datagram, now)
                continue
            opened = self._wire.open(datagram, now, self._knows)
            if opened is None or not self.receives:
                continue
            at = now if datagram.arrived_at is None else min(now, max(now - 1.0, datagram.arrived_at + wall_to_now))
            try:
                start, end = rtp.payload_range(opened[0])
            except RtpError:
                self._wire.dropped["malformed"] += 1
                continue
            self._count(opened[0], opened[0][start:end], at)
            if self.relay is not None and hand_in is not None:
                for packet in self.relay.packets(opened[0]):
                    hand_in(packet)

    def take_in_control(self, now: float) -> None:
        for datagram in ports.receive(self.pair.rtcp, 20):
            self._reports(datagram, now)

    def _knows(self, payload_type: int) -> bool:
        return self.agreement is not None and any(each.payload_type == payload_type for each in self.agreement.formats)

    def _count(self, packet: bytes, payload: bytes, at: float) -> None:
        self.packets += 1
        _, _, sequence, timestamp, ssrc = rtp.HEADER.unpack_from(packet)
        if ssrc != self._ssrc:
            self._ssrc, self._reception = ssrc, Reception(CLOCK_RATE)
        self._reception.arrived(sequence, timestamp, at)
        if is_keyframe_start("H264", payload):
            self.keyframes += 1
            self._asking, self._asked = False, 0

    def ask(self) -> None:
        """A browser needs a key frame of the phone."""
        self._asking, self._asked = True, 0

    # --- to the phone -------------------------------------------------------------------------------------------------

    def unit(self, unit: AccessUnit, now: float, proved: str) -> None:
        """A picture of the room. `proved`: the IP address that the call's sound comes from; "" for none yet."""
        to, agreement = self._wire.lock.destination(), self.agreement
        if agreement is None or not self.sends or unit.track != self.show.track:
            return
        if to is None:
            # A phone without a camera sends nothing from which its port could be learned: what the signalling said of
            # the port is believed where the sound has proved the host.
            signalled = self._wire.lock.signalled()
            to = signalled if signalled is not None and signalled[0] == proved else None
        if to is None:
            self.show.wait_for_key()
            return
        sending = agreement.sending
        for packet in self.show.unit(unit, now, sending.payload_type, fragments=sending.fragments):
            self._wire.send(packet, to)

    def wish(self) -> None:
        """The phone needs a key frame of what it is shown."""
        self.show.wished = True

    def wants_key(self, now: float) -> bool:
        """Whether the track that is shown should be asked for a key frame now; not again for a while."""
        if not self.sends or not self.show.needs_key or now < self._wish_at:
            return False
        self._wish_at = now + WISH_EVERY_S
        return True

    # --- reports ------------------------------------------------------------------------------------------------------

    def _reports(self, datagram: ports.Datagram, now: float) -> None:
        for each in self._wire.reports(datagram):
            if isinstance(each, rtcp.SenderReport):
                self._last_report = middle(each.ntp), now
            elif isinstance(each, rtcp.Pli | rtcp.Fir):
                self.wish()  # what it can decode nevertheless goes on

    def look(self, now: float) -> None:
        """Reports and requests that are due. A few times a second."""
        if self._asking and now >= self._ask_at and self._ssrc is not None and self._asked < ASK_AT_MOST:
            self._ask_at = now + ASK_EVERY_S
            self._asked += 1
            self._wire.report(self._request(self._ssrc))
        if now >= self._control_at and self.agreement is not None:
            self._control_at = now + CONTROL_EVERY_S
            self._wire.report(self._own_report(now))

    def _request(self, ssrc: int) -> list[rtcp.Packet]:
        own = self.show.ssrc
        packets: list[rtcp.Packet] = [rtcp.ReceiverReport(own), rtcp.Pli(own, ssrc)]
        if self._asked > INSIST_AFTER:
            self._fir = self._fir + 1 & 0xFF
            packets.append(rtcp.Fir(own, ((ssrc, self._fir),)))
        return packets

    def _own_report(self, now: float) -> list[rtcp.Packet]:
        bits, came = self._last_report
        blocks = (self._reception.report(self._ssrc, bits, now - came),) if self._ssrc is not None else ()
        show = self.show
        if not show.packets:
            return [rtcp.ReceiverReport(show.ssrc, blocks)]
        at = show.timestamp & 0xFFFFFFFF
        return [rtcp.SenderReport(show.ssrc, ntp(time.time()), at, show.packets, show.octets, blocks)]

    def say_goodbye(self) -> None:
        """BYE, where reports went."""
        if self.agreement is not None:
            self._wire.report([rtcp.ReceiverReport(self.show.ssrc), rtcp.Bye((self.show.ssrc,))])
