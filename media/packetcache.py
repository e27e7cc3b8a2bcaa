"""The last packets of one track, to repair losses and to start a new subscriber at once. Pure.

Each packet is kept once, in plain form, under its number: the track's own sequence number, extended and without the
gaps that muting makes (see `media.forwarder`), and with the track's own timestamp, whatever its SSRC was then. A
ring: a new packet displaces the one `capacity` numbers older.
"""


class PacketCache:
    """Numbers to packets. `capacity` is rounded up to a power of two."""

    def __init__(self, capacity: int) -> None:
        size = 1 << max(0, capacity - 1).bit_length()
        self._mask = size - 1
        self._numbers = [-1] * size
        self._packets: list[bytes] = [b""] * size

    @property
    def capacity(self) -> int:
        return self._mask + 1

    def put(self, number: int, packet: bytes) -> bool:
        """Keep it; False when this very number is there already or a newer one has its place."""
        slot = number & self._mask
        if self._numbers[slot] >= number:
            return False
        self._numbers[slot] = number
        self._packets[slot] = packet
        return True

    def get(self, number: int) -> bytes | None:
        slot = number & self._mask
        return self._packets[slot] if self._numbers[slot] == number else None

    def run(self, first: int, last: int) -> list[tuple[int, bytes]] | None:
        """All packets from `first` to `last` in order, or None when one is missing."""
        if last - first >= self.capacity:
            return None
        found: list[tuple[int, bytes]] = []
        for number in range(first, last + 1):
            packet = self.get(number)
            if packet is None:
                return None
            found.append((number, packet))
        return found
