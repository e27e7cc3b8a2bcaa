"""What receivers tell senders, decided: reports, repairs, key-frame requests, bitrate. Pure; `now` in seconds.

Each class is the memory of one stream in one direction. The forwarder feeds `Reception` with every packet; the rest is
asked once in a while.
"""

from dataclasses import dataclass

from media.rtcp import ReportBlock
from media.rtp import nearest

NACK_FIRST_S = 0.01
"""Packets overtake each other on their way; a gap is named only when it is this old."""
NACK_REPEAT_S = 0.1
NACK_TRIES = 10
NACK_MAX_MISSING = 256
"""More at once is an outage, not loss: a key frame repairs that better."""
NACK_MAX_AGE_S = 2.0

RESEND_PAUSE_S, LEAST_RESEND_PAUSE_S = 0.1, 0.02
"""The same packet is not sent again sooner; a repeat of the request crossed our answer."""
RESEND_TRIES = 3
RESEND_MEMORY = 512


class Reception:
    """Sequence numbers, loss and jitter of one incoming stream (RFC 3550 A.1, A.3, A.8)."""

    MAX_DROPOUT = 3000

    def __init__(self, clock_rate: int) -> None:
        self.clock_rate = clock_rate
        self.highest = -1
        """Extended sequence number; -1 before the first packet."""
        self.received = 0
        self.jitter = 0.0
        """Timestamp units."""
        self._base = 0
        self._transit: float | None = None
        self._suspect = -1
        self._expected_before = 0
        self._received_before = 0
        self.gaps = Gaps()

    def arrived(self, sequence: int, timestamp: int, now: float) -> int:
        """One packet; gives its extended sequence number."""
        self.received += 1
        highest = self.highest
        if highest < 0:
            # One cycle up, so that packets from before the first one stay positive.
            self.highest = self._base = extended = sequence + 0x10000
            self._transit = now * self.clock_rate - timestamp
            return extended
        ahead = sequence - highest & 0xFFFF
        if ahead == 1:
            self.highest = extended = highest + 1
        elif ahead < 0x8000:
            extended = highest + ahead
            if ahead:
                self._jumped(highest, extended, now)
        else:
            return self._behind(sequence, highest + ahead - 0x10000)
        transit = now * self.clock_rate - timestamp
        if self._transit is not None:
            difference = abs(transit - self._transit)
            if difference < 0x40000000:
                self.jitter += (difference - self.jitter) / 16
        self._transit = transit
        return extended

    def _behind(self, sequence: int, extended: int) -> int:
        """A packet that others overtook, or, when two in a row are far behind, a sender that began anew."""
        if self.highest - extended <= self.MAX_DROPOUT:
            self.gaps.filled(extended)
        elif sequence == self._suspect:
            restarted = extended + 0x10000
            self._base += restarted - self.highest - 1
            self.gaps.clear()
            self.highest = restarted
            return restarted
        else:
            self._suspect = sequence + 1 & 0xFFFF
        return extended

    def _jumped(self, highest: int, extended: int, now: float) -> None:
        if extended - highest > self.MAX_DROPOUT:
            # The sender began anew: nothing between was ever sent.
            self._base += extended - highest - 1
            self.gaps.clear()
        else:
            self.gaps.opened(highest + 1, extended, now)
        self.highest = extended

    def find(self, sequence: int) -> int | None:
        """The extended number of a retransmission; None when it cannot belong to what was received so far."""
        if self.highest < 0:
            return None
        extended = nearest(sequence, self.highest, 16)
        return extended if extended <= self.highest else None

    def repaired(self, extended: int) -> None:
        """A retransmission in a stream of its own filled this gap."""
        self.received += 1
        self.gaps.filled(extended)

    @property
    def expected(self) -> int:
        return self.highest - self._base + 1 if self.highest >= 0 else 0

    @property
    def lost(self) -> int:
        return self.expected - self.received

    def report(self, ssrc: int, last_report: int, delay_s: float) -> ReportBlock:
        """A report block; the fraction counts from the previous call."""
        expected = self.expected - self._expected_before
        lost = expected - (self.received - self._received_before)
        self._expected_before, self._received_before = self.expected, self.received
        fraction = min(255, lost * 256 // expected) if expected > 0 and lost > 0 else 0
        delay = int(delay_s * 65536) & 0xFFFFFFFF if last_report else 0
        jitter = min(int(self.jitter), 0xFFFFFFFF)
        return ReportBlock(ssrc, fraction, self.lost, self.highest - 0x10000 & 0xFFFFFFFF, jitter, last_report, delay)


@dataclass(slots=True)
class _Gap:
    since: float
    ask_at: float
    tries: int = 0


class Gaps:
    """Extended sequence numbers that did not arrive, and when to ask for them."""

    def __init__(self) -> None:
        self._missing: dict[int, _Gap] = {}
        self.outages = 0
        """Times that too much was missing to be asked for."""

    def __len__(self) -> int:
        return len(self._missing)

    def opened(self, first: int, end: int, now: float) -> None:
        if end - first + len(self._missing) > NACK_MAX_MISSING:
            self.outages += 1
            self._missing.clear()
            return
        for number in range(first, end):
            self._missing[number] = _Gap(now, now + NACK_FIRST_S)

    def filled(self, number: int) -> None:
        self._missing.pop(number, None)

    def clear(self) -> None:
        self._missing.clear()

    def due(self, now: float) -> list[int]:
        """Numbers to ask for now, ascending. What was asked for often enough is given up."""
        asked: list[int] = []
        for number, gap in list(self._missing.items()):
            if gap.ask_at > now:
                continue
            if gap.tries >= NACK_TRIES or now - gap.since > NACK_MAX_AGE_S:
                del self._missing[number]
                continue
            gap.tries += 1
            gap.ask_at = now + NACK_REPEAT_S
            asked.append(number)
        return sorted(asked)


class Resends:
    """Whether a subscriber's request for one packet is granted."""

    def __init__(self) -> None:
        self._granted: dict[int, tuple[int, float]] = {}

    def grants(self, number: int, now: float, rtt_s: float = RESEND_PAUSE_S) -> bool:
        """What was sent less than a round trip ago may still be on its way."""
        pause = min(RESEND_PAUSE_S, max(LEAST_RESEND_PAUSE_S, rtt_s))
        tries, last = self._granted.pop(number, (0, -RESEND_PAUSE_S))
        granted = tries < RESEND_TRIES and now - last >= pause
        self._granted[number] = (tries + 1, now) if granted else (tries, last)
        if len(self._granted) > RESEND_MEMORY:
            del self._granted[next(iter(self._granted))]
        return granted


class KeyframeRequests:
    """Key-frame requests of one source: many may wish, at most one leaves per interval.

    A wish that comes too early leaves later, unless a key frame arrived meanwhile. While `insist` is set (somebody
    cannot begin without one) the request is repeated every `REPEAT_S`.
    """

    REPEAT_S = 1.0

    def __init__(self, interval_s: float) -> None:
        self._interval = interval_s
        self._last: float | None = None
        self._wished = False
        self.insist = False

    def wish(self) -> None:
        self._wished = True

    def arrived(self) -> None:
        """A key frame is here."""
        self._wished = self.insist = False

    def due(self, now: float) -> bool:
        """Whether to send a request now."""
        since = None if self._last is None else now - self._last
        repeat = self.insist and (since is None or since >= self.REPEAT_S)
        if not (self._wished or repeat) or (since is not None and since < self._interval):
            return False
        self._last, self._wished = now, False
        return True


class UplinkBitrate:
    """Bitrate to allow a publisher, from the loss that it suffers towards us (as in draft-ietf-rmcat-gcc-02 6).

    For publishers that negotiated `goog-remb` and send no transport-wide sequence numbers.
    """

    MINIMUM_BPS, START_BPS, MAXIMUM_BPS = 150_000, 1_500_000, 6_000_000

    def __init__(self) -> None:
        self.bitrate_bps = float(self.START_BPS)

    def update(self, loss: float, arriving_bps: float) -> int:
        """Loss (0 to 1) and bitrate since the last call, about a second ago; gives the new estimate."""
        if loss > 0.1:
            self.bitrate_bps *= 1 - 0.5 * loss
        elif loss < 0.02:
            # Growth is tied to what is really sent, or an idle camera would be allowed anything.
            self.bitrate_bps = max(self.bitrate_bps, min(self.bitrate_bps * 1.08, arriving_bps * 2 + self.START_BPS))
        self.bitrate_bps = min(max(self.bitrate_bps, self.MINIMUM_BPS), self.MAXIMUM_BPS)
        return int(self.bitrate_bps)
