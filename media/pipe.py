"""A track on its way to other media workers of this machine: its packets, in plain form, in at their doors.

What a pipe carries is one encoding of the track, chosen as for any other reader (`media.tapping`), without header
extensions. Sequence numbers and timestamps are those of the track, so that losses, reordering and the count of time are
seen over there as they were here. Nothing waits: what a door does not take at once is dropped and counted.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from media import rtp
from media.door import DoorSender
from media.keyframes import Payload
from media.messages import Outlet


class Sender(Protocol):
    """A door's other end; `media.door.DoorSender` is one."""

    def send(self, token: bytes, packet: bytes) -> bool: ...
    def close(self) -> None: ...


class PipeSender:
    """One track to any number of doors. Stands where a `TapSender` stands."""

    wants_keyframe = False
    """`NeedKeyframe` asks."""

    def __init__(self, payload_type: int, connect: Callable[[str], Sender] = DoorSender) -> None:
        self._payload_type = payload_type
        self._connect = connect
        self._outlets: list[tuple[Sender, bytes, int]] = []
        self._senders: dict[str, Sender] = {}
        self.dropped = 0

    def lead(self, outlets: Sequence[Outlet]) -> None:
        """The whole list of doors, anew."""
        wanted = {outlet.door.address for outlet in outlets}
        for address in [address for address in self._senders if address not in wanted]:
            self._senders.pop(address).close()
        for address in wanted - self._senders.keys():
            self._senders[address] = self._connect(address)
        self._outlets = [
            (self._senders[outlet.door.address], bytes.fromhex(outlet.door.token), outlet.ssrc) for outlet in outlets
        ]

    def packet(self, payload: Payload, marker: bool, timestamp: int, seq: int, arrived_at: float) -> None:
        """Take one RTP packet's payload; arguments as in `TapSender.packet`."""
        for sender, token, ssrc in self._outlets:
            packet = rtp.pack(
                bytes(payload),
                payload_type=self._payload_type,
                sequence=seq,
                timestamp=timestamp,
                ssrc=ssrc,
                marker=marker,
            )
            if not sender.send(token, packet):
                self.dropped += 1

    def flush(self) -> None:
        """Nothing waits here."""

    def hear(self) -> None:
        """Doors say nothing."""

    def close(self) -> None:
        for sender in self._senders.values():
            sender.close()
        self._senders.clear()
        self._outlets = []
