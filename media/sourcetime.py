"""The clock of one incoming track: which NTP time belongs to which RTP timestamp. Pure.

A publisher's sender reports tie both to its own clock. Towards subscribers that very clock is passed on, so that the
sound and the picture of one publisher stay together there (RFC 3550 6.4.1). A publisher that sends no reports gets our
clock after a while.
"""

NTP_EPOCH_S = 2_208_988_800
"""From 1900 to 1970."""
PATIENCE_S = 5.0


def ntp(at: float) -> int:
    """Seconds since the Unix epoch as a 64-bit NTP timestamp."""
    return int((at + NTP_EPOCH_S) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def middle(timestamp: int) -> int:
    """The 32 bits of an NTP timestamp that reports echo."""
    return timestamp >> 16 & 0xFFFFFFFF


class SourceTime:
    """Fed with the publisher's sender reports."""

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._report: tuple[int, int, float] | None = None
        self._since: float | None = None

    def reported(self, ntp_time: int, timestamp: int, now: float) -> None:
        self._report = (ntp_time, timestamp, now)

    @property
    def last_report(self) -> tuple[int, float]:
        """Middle bits of the last sender report and when it came; (0, 0) before the first."""
        return (middle(self._report[0]), self._report[2]) if self._report else (0, 0.0)

    @property
    def reported_ntp(self) -> int | None:
        """NTP time of the last sender report."""
        return self._report[0] if self._report else None

    def timestamp_at(self, ntp_time: int) -> int | None:
        """The RTP timestamp of a moment by the publisher's own clock."""
        if self._report is None:
            return None
        elapsed = (ntp_time - self._report[0] + (1 << 63) & (1 << 64) - 1) - (1 << 63)
        return self._report[1] + round(elapsed * self._clock_rate / (1 << 32)) & 0xFFFFFFFF

    def at(self, now: float, wall: float, newest: tuple[int, float]) -> tuple[int, int] | None:
        """NTP time and RTP timestamp of this moment, or None while it is not known.

        Args:
            wall: `now` as seconds since the Unix epoch.
            newest: RTP timestamp of the newest packet and when it came.
        """
        if self._report is not None:
            ntp_time, timestamp, came = self._report
            elapsed = now - came
            return ntp_time + int(elapsed * (1 << 32)) & 0xFFFFFFFFFFFFFFFF, self._later(timestamp, elapsed)
        if self._since is None:
            self._since = now
        if now - self._since < PATIENCE_S:
            return None
        return ntp(wall), self._later(newest[0], now - newest[1])

    def _later(self, timestamp: int, elapsed: float) -> int:
        return timestamp + int(elapsed * self._clock_rate) & 0xFFFFFFFF
