"""A WebRTC peer made by hand: its own socket, connectivity checks, DTLS client and SRTP, and an SDP of a few lines.

For what libraries do not do: move to another port, restart ICE, send RTX, lie about the certificate, send rubbish.
"""

import asyncio
import re
import secrets
import socket
from dataclasses import dataclass, field

from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate
from OpenSSL import SSL

from media import rtcp, rtp
from media.messages import Accept, Publish, Refused, Reply, Subscribe
from media.transport import stun
from media.transport.dtls import split_flight
from media.transport.srtp import PROFILES, SrtpPair, split_keys
from media.transport.stun import Address
from tests.fakes.mediaserver import MemoryLink

VIDEO, RTX, AUDIO = 96, 97, 111
TRANSPORT_ID, MID_ID = 3, 4


def vp8(key: bool, length: int = 40, picture: int = 0) -> bytes:
    """A payload whose header says key frame or not; the rest is no picture."""
    return bytes((0x10, 0x00 if key else 0x01, picture & 0xFF)) + b"\x9d\x01\x2a" + bytes(length)


@dataclass
class Received:
    """One RTP packet that came."""

    ssrc: int
    payload_type: int
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes
    raw: bytes


@dataclass
class RawPeer:
    """One end. `received` and `reports` fill while `listen` (or anything that waits) runs."""

    link: MemoryLink
    name: str
    fingerprint: str = ""
    received: list[Received] = field(default_factory=list)
    reports: list[rtcp.Packet] = field(default_factory=list)
    datagrams: list[bytes] = field(default_factory=list)
    """Media as it came, protected."""
    answer: Reply | None = None
    media_ssrc: int = 0
    deaf_to_dtls: int = 0
    """So many of the server's DTLS datagrams are lost."""

    def __post_init__(self) -> None:
        self.certificate = RTCCertificate.generateCertificate()
        digests = {each.algorithm: each.value for each in self.certificate.getFingerprints()}
        self.fingerprint = self.fingerprint or digests["sha-256"]
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(16)
        self.theirs = ("", "")
        self.server: Address = ("127.0.0.1", 0)
        self.srtp: SrtpPair | None = None
        self.closed_by_server = False
        self.checks_answered = 0
        self._ssl: SSL.Connection | None = None
        self.socket = self._new_socket()
        self.link.at_end.append(lambda: self.socket.close())

    @staticmethod
    def _new_socket() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("127.0.0.1", 0))
        return sock

    def move(self) -> None:
        """Another port, as behind a NAT that forgot us."""
        self.socket.close()
        self.socket = self._new_socket()

    # --- signalling -------------------------------------------------------------------------------------------------

    def offer(
        self,
        *,
        video: bool = True,
        audio: bool = False,
        ssrc: int | None = None,
        rtx: int | None = None,
        transport_wide: bool = False,
    ) -> str:
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        mids = [mid for mid, wanted in (("0", video), ("1", audio)) if wanted]
        lines.append(f"a=group:BUNDLE {' '.join(mids)}")
        if video:
            lines += [f"m=video 9 UDP/TLS/RTP/SAVPF {VIDEO} {RTX}", "a=mid:0", *self._transport("actpass")]
            lines += [f"a=extmap:{MID_ID} {rtp.MID}", f"a=rtpmap:{VIDEO} VP8/90000", f"a=rtpmap:{RTX} rtx/90000"]
            lines += [f"a=fmtp:{RTX} apt={VIDEO}", f"a=rtcp-fb:{VIDEO} nack", f"a=rtcp-fb:{VIDEO} nack pli"]
            lines += [f"a=rtcp-fb:{VIDEO} goog-remb"]
            if transport_wide:
                lines += [f"a=extmap:{TRANSPORT_ID} {rtp.TRANSPORT_SEQUENCE}", f"a=rtcp-fb:{VIDEO} transport-cc"]
            if ssrc is not None:
                lines += [f"a=ssrc:{ssrc} cname:raw"]
            if rtx is not None:
                lines += [f"a=ssrc:{rtx} cname:raw", f"a=ssrc-group:FID {ssrc} {rtx}"]
        if audio:
            lines += [f"m=audio 9 UDP/TLS/RTP/SAVPF {AUDIO}", "a=mid:1", *self._transport("actpass")]
            lines += [f"a=extmap:{MID_ID} {rtp.MID}", f"a=rtpmap:{AUDIO} opus/48000/2"]
        return "\r\n".join([*lines, ""])

    def _transport(self, setup: str) -> list[str]:
        return [
            "c=IN IP4 0.0.0.0",
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.password}",
            f"a=fingerprint:sha-256 {self.fingerprint}",
            f"a=setup:{setup}",
            "a=rtcp-mux",
            "a=sendonly" if setup == "actpass" else "a=recvonly",
        ]

    async def publish(self, sdp: str) -> Reply:
        self.answer = await self.link.call(Publish(peer=self.name, sdp=sdp))
        self._learn(self.answer.sdp)
        return self.answer

    async def subscribe(self, *tracks: str, rtx: bool = True, ice_restart: bool = False) -> Reply:
        """Get an offer and, where there is one, agree to it."""
        reply = await self.get_offer(*tracks, ice_restart=ice_restart)
        if reply.sdp:
            assert (await self.accept(reply, rtx=rtx)).type == "reply"
        return reply

    async def get_offer(self, *tracks: str, ice_restart: bool = False) -> Reply:
        reply = await self.link.call(Subscribe(peer=self.name, tracks=tracks, ice_restart=ice_restart))
        if reply.sdp:
            self.answer = reply
            self._learn(reply.sdp)
        return reply

    async def accept(self, offer: Reply, *, rtx: bool = True) -> Reply | Refused:
        sdp = self.answer_to(offer.sdp, rtx=rtx)
        return await self.link.ask(Accept(peer=self.name, generation=offer.generation, sdp=sdp))

    def offered_ssrcs(self) -> list[int]:
        """Of the offer that we got, in order."""
        assert self.answer is not None
        return list(dict.fromkeys(int(each) for each in re.findall(r"a=ssrc:(\d+)", self.answer.sdp)))

    def restart_ice(self) -> None:
        """New credentials of this end, for the next description."""
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(16)

    def answer_to(self, offer: str, *, rtx: bool) -> str:
        """The offer's own lines with our transport."""
        lines: list[str] = []
        for line in offer.split("\r\n"):
            if re.match(
                r"a=(ice-|candidate|end-of|fingerprint|setup|rtcp-mux$|sendonly|ssrc|msid|rtcp-rsize)|c=", line
            ):
                continue
            if not rtx and re.search(r"rtx/90000|apt=", line):
                continue
            lines.append(line)
            if line.startswith("m="):
                lines += self._transport("active")
        return "\r\n".join(lines)

    def _learn(self, sdp: str) -> None:
        def find(pattern: str) -> str:
            found = re.search(pattern, sdp)
            assert found, (pattern, sdp)
            return found.group(1)

        self.theirs = find(r"a=ice-ufrag:(\S+)"), find(r"a=ice-pwd:(\S+)")
        self.server = ("127.0.0.1", int(find(r"a=candidate:\S+ 1 udp \d+ \S+ (\d+)")))

    # --- transport --------------------------------------------------------------------------------------------------

    def send(self, datagram: bytes) -> None:
        self.socket.sendto(datagram, self.server)

    def check_bytes(self, *, nominate: bool = True) -> bytes:
        attributes = [
            (stun.USERNAME, f"{self.theirs[0]}:{self.ufrag}".encode()),
            (stun.PRIORITY, bytes(4)),
            (stun.ICE_CONTROLLING, bytes(8)),
        ]
        if nominate:
            attributes.append((stun.USE_CANDIDATE, b""))
        return stun.build(stun.BINDING_REQUEST, secrets.token_bytes(12), attributes, self.theirs[1])

    async def check(self, *, nominate: bool = True) -> None:
        """One connectivity check and its answer."""
        before = self.checks_answered
        self.send(self.check_bytes(nominate=nominate))
        async with asyncio.timeout(5):
            while self.checks_answered == before:
                await self._receive()

    async def connect(self) -> None:
        """Check and handshake."""
        await self.check()
        context = self.certificate._create_ssl_context(SRTP_PROFILES)
        context.set_tlsext_use_srtp(b":".join(profile.name for profile in PROFILES))
        self._ssl = SSL.Connection(context, None)
        self._ssl.set_connect_state()
        async with asyncio.timeout(5):
            while self.srtp is None:
                self._shake()
                if self.srtp is None:
                    await self._receive()

    def _shake(self) -> None:
        assert self._ssl is not None
        try:
            self._ssl.do_handshake()
        except SSL.WantReadError:
            pass
        else:
            profile = next(each for each in PROFILES if each.name == self._ssl.get_selected_srtp_profile())
            exported = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", profile.exported_bytes)
            self.srtp = SrtpPair(split_keys(profile, exported, server=False))
        self._flush_dtls()

    def say_goodbye(self) -> None:
        """close_notify"""
        assert self._ssl is not None
        self._ssl.shutdown()
        self._flush_dtls()

    def _flush_dtls(self) -> None:
        assert self._ssl is not None
        try:
            for datagram in split_flight(self._ssl.bio_read(65536)):
                self.send(datagram)
        except SSL.WantReadError:
            pass

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        data, _ = await loop.sock_recvfrom(self.socket, 4096)
        self._take(data)

    def _take(self, data: bytes) -> None:
        if data[0] < 4:
            self.checks_answered += stun.parse(data).is_authentic(self.theirs[1])
        elif data[0] < 64 and self.deaf_to_dtls:
            self.deaf_to_dtls -= 1
        elif data[0] < 64 and self._ssl is not None:
            self._ssl.bio_write(data)
            if self.srtp is not None:
                self._read_dtls()
        elif self.srtp is not None and rtp.is_rtcp(data):
            plain = self.srtp.unprotect_rtcp(data)
            assert plain is not None
            self.reports += rtcp.parse(plain)
        elif self.srtp is not None:
            self.datagrams.append(data)
            self._take_media(self.srtp.receive_session.unprotect(data))

    def _read_dtls(self) -> None:
        assert self._ssl is not None
        try:
            self._ssl.recv(2048)
        except SSL.ZeroReturnError:
            self.closed_by_server = True
        except SSL.WantReadError:
            pass

    def _take_media(self, raw: bytes) -> None:
        _, second, sequence, timestamp, ssrc = rtp.HEADER.unpack_from(raw)
        start, end = rtp.payload_range(raw)
        packet = Received(ssrc, second & 0x7F, sequence, timestamp, second > 127, raw[start:end], raw)
        self.received.append(packet)

    async def datagram(self) -> bytes:
        """The next datagram of media, unread."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            while True:
                data, _ = await loop.sock_recvfrom(self.socket, 4096)
                if data[0] > 127 and not rtp.is_rtcp(data):
                    return data

    async def listen(self, seconds: float) -> None:
        """Take what comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self._receive()
        except TimeoutError:
            pass

    async def until(self, packets: int, timeout_s: float = 5) -> None:
        """Take what comes until there are so many packets of media."""
        async with asyncio.timeout(timeout_s):
            while len(self.received) < packets:
                await self._receive()

    async def until_report(self, kind: type[rtcp.Packet], timeout_s: float = 5) -> rtcp.Packet:
        """The first report of this kind, past or to come; it is taken off `reports`."""
        async with asyncio.timeout(timeout_s):
            while True:
                for report in self.reports:
                    if isinstance(report, kind):
                        self.reports.remove(report)
                        return report
                await self._receive()

    # --- media ------------------------------------------------------------------------------------------------------

    def send_media(
        self,
        sequence: int,
        payload: bytes,
        *,
        ssrc: int,
        payload_type: int = VIDEO,
        timestamp: int = 0,
        marker: bool = True,
        mid: str = "",
        transport: int | None = None,
    ) -> None:
        elements = [(MID_ID, mid.encode())] if mid else []
        if transport is not None:
            elements.append((TRANSPORT_ID, (transport & 0xFFFF).to_bytes(2, "big")))
        packet = rtp.pack(
            payload,
            payload_type=payload_type,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=ssrc,
            marker=marker,
            elements=elements,
        )
        self.send_rtp(packet)

    def send_rtp(self, packet: bytes) -> None:
        assert self.srtp is not None
        self.send(self.srtp.send_session.protect(packet))

    def send_rtcp(self, *packets: rtcp.Packet) -> None:
        assert self.srtp is not None
        self.send(self.srtp.protect_rtcp(rtcp.compound(packets)))


async def connected_publisher(
    link: MemoryLink, name: str = "camera", ssrc: int = 77, rtx: int | None = None
) -> RawPeer:
    """Publishes `{name}/0`, VP8."""
    peer = RawPeer(link, name)
    await peer.publish(peer.offer(ssrc=ssrc, rtx=rtx))
    await peer.connect()
    await link.peer(name, "connected")
    return peer


async def connected_subscriber(link: MemoryLink, *tracks: str, name: str = "viewer", rtx: bool = True) -> RawPeer:
    peer = RawPeer(link, name)
    await peer.subscribe(*tracks, rtx=rtx)
    await peer.connect()
    await link.peer(name, "connected")
    return peer
