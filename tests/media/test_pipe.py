"""A track in at other workers' doors: same numbers, own SSRC at each."""

from media import rtp
from media.messages import DoorPass, Outlet
from media.pipe import PipeSender


class Sent:
    """Stands for a `DoorSender`."""

    def __init__(self, address: str, doors: dict[str, "Sent"]) -> None:
        doors[address] = self
        self.packets: list[tuple[bytes, bytes]] = []
        self.closed = self.full = False

    def send(self, token: bytes, packet: bytes) -> bool:
        self.packets.append((token, packet))
        return not self.full

    def close(self) -> None:
        self.closed = True


def outlet(address: str, ssrc: int) -> Outlet:
    return Outlet(door=DoorPass(address=address, token=f"{ssrc:02x}"), ssrc=ssrc)


def test_each_door_gets_each_packet_under_the_name_that_it_knows() -> None:
    doors: dict[str, Sent] = {}
    pipe = PipeSender(96, lambda address: Sent(address, doors))
    pipe.lead([outlet("one", 17), outlet("two", 18)])
    pipe.packet(b"picture", True, 1000, 65_535, 0.0)
    for address, ssrc in (("one", 17), ("two", 18)):
        [(token, packet)] = doors[address].packets
        assert token == bytes((ssrc,))
        assert packet == rtp.pack(b"picture", payload_type=96, sequence=65_535, timestamp=1000, ssrc=ssrc, marker=True)


def test_a_door_that_is_no_longer_named_is_closed_and_the_others_stay_open() -> None:
    doors: dict[str, Sent] = {}
    pipe = PipeSender(96, lambda address: Sent(address, doors))
    pipe.lead([outlet("one", 17), outlet("two", 18)])
    kept = doors["two"]
    pipe.lead([outlet("two", 18)])
    assert (doors["one"].closed, kept.closed, doors["two"] is kept) == (True, False, True)
    pipe.close()
    assert kept.closed


def test_what_a_door_does_not_take_is_counted() -> None:
    doors: dict[str, Sent] = {}
    pipe = PipeSender(96, lambda address: Sent(address, doors))
    pipe.lead([outlet("one", 17)])
    doors["one"].full = True
    pipe.packet(b"picture", True, 0, 0, 0.0)
    assert pipe.dropped == 1
