"""The raw peer over ICE-TCP."""

import asyncio
import socket
from dataclasses import dataclass, field

from media.transport.framing import Deframer, frame
from media.transport.stun import Address
from tests.fakes.rawpeer import RawPeer


@dataclass
class TcpPeer(RawPeer):
    """As `RawPeer`, over one TCP connection to the same port number."""

    deframer: Deframer = field(default_factory=Deframer)
    tcp: socket.socket | None = None
    dialled: Address | None = None
    """Instead of the server's address."""

    def dial(self) -> socket.socket:
        if self.tcp is None:
            self.tcp = socket.create_connection(self.dialled or self.server)
            self.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.tcp.setblocking(False)
            self.link.at_end.append(self.hang_up)
        return self.tcp

    def hang_up(self) -> None:
        if self.tcp is not None:
            self.tcp.close()
            self.tcp = None

    def send(self, datagram: bytes) -> None:
        assert self.dial().send(frame(datagram)) == len(datagram) + 2

    async def _receive(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self.dial(), 65536)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        for packet in self.deframer.feed(data):
            self._take(packet)
