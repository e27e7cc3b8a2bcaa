"""WebRTC peers for load: connectivity checks, a DTLS client, SRTP, and no decoding. A hundred fit in one process.

Nothing here waits: `poll` takes what the socket holds, `step` does what is due. Receivers polled this way never sleep,
so that no wake-up of theirs is charged to the server that sends to them. Packets are counted by their clear header;
one in `SAMPLE_EVERY` is decrypted, which proves the keys and gives the delay that the publisher's stamp tells.

With `feedback` a peer sends transport-wide feedback as a browser does, where packets are numbered for it. On a machine
that is busy with other things it comes to tell of a full line, and gets less from then on.
"""

import re
import secrets
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiortc.rtcdtlstransport import RTCCertificate
from OpenSSL import SSL

from media import rtcp, rtp
from media.transport import stun
from media.transport.dtls import MAX_DATAGRAM_BYTES, split_flight
from media.transport.srtp import PROFILES, SrtpPair, split_keys
from media.transportcc import Statuses

VIDEO, RTX, OPUS = 96, 97, 111
SAMPLE_EVERY = 16
CHECK_EVERY_S = 2.5
FIRST_CHECKS_EVERY_S = 0.05
HANDSHAKE_RETRY_S = 0.25
REPORT_EVERY_S = 1.0
FEEDBACK_EVERY_S = 0.1
STAMP = struct.Struct("!Q")
STAMP_AT = 3
"""Where the stamp stands in a payload: behind the VP8 descriptor and two bytes of its frame tag."""
_PROFILE = PROFILES[0]
_NUMBERED = re.compile(rf"a=extmap:(\d+)(?:/\w+)? {re.escape(rtp.TRANSPORT_SEQUENCE)}")
_CANDIDATE = re.compile(r"a=candidate:\S+ 1 udp \d+ ([0-9.]+) (\d+) typ host", re.IGNORECASE)


def _context(certificate: RTCCertificate) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    context.use_certificate(certificate._cert)
    context.use_privatekey(certificate._key)
    context.set_tlsext_use_srtp(_PROFILE.name)
    return context


class Identity:
    """One certificate for all peers of a process."""

    def __init__(self) -> None:
        certificate = RTCCertificate.generateCertificate()
        self.fingerprint = next(each.value for each in certificate.getFingerprints() if each.algorithm == "sha-256")
        self.context = _context(certificate)


@dataclass
class Counters:
    """What came since the last `reset`."""

    packets: int = 0
    octets: int = 0
    delays_s: list[float] = field(default_factory=list)


class LoadPeer:
    """One transport.

    Args:
        address: IPv4 address to bind to.
        controlling: send connectivity checks and nominate, as a full agent does towards ICE-lite; otherwise be ICE-lite
            and only answer.
    """

    def __init__(self, identity: Identity, address: str, *, controlling: bool, feedback: bool = False) -> None:
        self._feedback = feedback
        self._identity = identity
        self._controlling = controlling
        self.ufrag, self.password = secrets.token_hex(4), secrets.token_hex(16)
        self.address = address
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((address, 0))
        self.counters = Counters()
        self.srtp: SrtpPair | None = None
        self._server: tuple[str, int] | None = None
        self._theirs = ("", "")
        self._nominated = False
        self._ssl: SSL.Connection | None = None
        self._check_at = self._shake_at = self._report_at = self._feedback_at = 0.0
        self._numbered = 0
        """Id of the header extension with numbers of the transport."""
        self._told: list[tuple[int, int]] = []
        """Number and arrival, in 250 µs, of what came since the last feedback."""
        self._feedbacks = 0
        self._buffer = bytearray(2048)
        self._view = memoryview(self._buffer)
        self._last = (0, 0)
        """SSRC and sequence number of the newest packet."""

    @property
    def connected(self) -> bool:
        return self.srtp is not None

    def close(self) -> None:
        self.socket.close()

    # --- SDP

    def offer(self, ssrc: int, voice: int = 0) -> str:
        """VP8 to be sent, and Opus where `voice` is an SSRC."""
        group = "a=group:BUNDLE 0 1" if voice else "a=group:BUNDLE 0"
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", *self._lite(), group]
        lines += [f"m=video 9 UDP/TLS/RTP/SAVPF {VIDEO} {RTX}", "c=IN IP4 0.0.0.0", "a=mid:0", "a=sendonly"]
        lines += [*self._transport(), f"a=rtpmap:{VIDEO} VP8/90000", f"a=rtcp-fb:{VIDEO} nack"]
        lines += [f"a=rtcp-fb:{VIDEO} nack pli", f"a=rtpmap:{RTX} rtx/90000", f"a=fmtp:{RTX} apt={VIDEO}"]
        lines += ["a=msid:load video", f"a=ssrc:{ssrc} cname:load"]
        if voice:
            lines += [f"m=audio 9 UDP/TLS/RTP/SAVPF {OPUS}", "c=IN IP4 0.0.0.0", "a=mid:1", "a=sendonly"]
            lines += [*self._transport(), f"a=rtpmap:{OPUS} opus/48000/2"]
            lines += ["a=msid:load audio", f"a=ssrc:{voice} cname:load"]
        return "\r\n".join([*lines, ""])

    def answer(self, offer: str) -> str:
        """Everything of the offer is taken."""
        self.learn(offer)
        found = _NUMBERED.search(offer) if self._feedback else None
        self._numbered = int(found[1]) if found else 0
        lines: list[str] = []
        drop = r"a=(ice-|candidate|end-of|fingerprint|setup|rtcp-mux$|sendonly|ssrc|msid|rtcp-rsize|rtcp:)|c="
        for line in offer.split("\r\n"):
            if re.match(drop, line):
                continue
            lines.append(line)
            if line.startswith("t="):
                lines += self._lite()
            if line.startswith("m="):
                lines += ["c=IN IP4 0.0.0.0", "a=recvonly", *self._transport()]
        return "\r\n".join(lines)

    def _lite(self) -> list[str]:
        return [] if self._controlling else ["a=ice-lite"]

    def _transport(self) -> list[str]:
        return [
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.password}",
            f"a=fingerprint:sha-256 {self._identity.fingerprint}",
            "a=setup:active",
            "a=rtcp-mux",
            f"a=candidate:1 1 udp 2130706431 {self.address} {self.socket.getsockname()[1]} typ host",
            "a=end-of-candidates",
        ]

    def learn(self, sdp: str) -> None:
        """The other end's transport."""
        (ufrag, *_), (password, *_) = (re.findall(rf"a=ice-{name}:(\S+)", sdp) for name in ("ufrag", "pwd"))
        (address, port), *_ = _CANDIDATE.findall(sdp)
        self._theirs = ufrag, password
        self._server = address, int(port)

    # --- what is due

    def step(self, now: float) -> None:
        """Checks, handshake timers, reports. `now` is monotonic."""
        if self._server is None:
            return
        if self._controlling and now >= self._check_at:
            self._check_at = now + (CHECK_EVERY_S if self._nominated else FIRST_CHECKS_EVERY_S)
            self._send(self._check())
        if self._nominated and self.srtp is None and now >= self._shake_at:
            self._shake_at = now + HANDSHAKE_RETRY_S
            self._shake()
        if self.srtp is not None and now >= self._report_at:
            self._report_at = now + REPORT_EVERY_S
            self._report()
        if self._told and self.srtp is not None and now >= self._feedback_at:
            self._feedback_at = now + FEEDBACK_EVERY_S
            self._feed_back()

    def _feed_back(self) -> None:
        told, self._told = sorted(self._told), []
        base = told[0][0]
        if told[-1][0] - base > 1000:
            return  # the numbers began anew: once in two minutes and more
        reference, deltas = told[0][1] // 256, list[int | None]()
        before = reference * 256
        for number, tick in told:
            deltas += [None] * (number - base - len(deltas))
            if number - base == len(deltas):
                deltas.append(max(-0x8000, min(0x7FFF, tick - before)))
                before = tick
        statuses = Statuses(base, reference & 0xFFFFFF, self._feedbacks & 0xFF, tuple(deltas))
        self._feedbacks += 1
        self.send_rtcp(rtcp.TransportFeedback(1, self._last[0], statuses))

    def _check(self) -> bytes:
        attributes = [
            (stun.USERNAME, f"{self._theirs[0]}:{self.ufrag}".encode()),
            (stun.PRIORITY, (1845501695).to_bytes(4, "big")),
            (stun.ICE_CONTROLLING, bytes(8)),
            (stun.USE_CANDIDATE, b""),
        ]
        return stun.build(stun.BINDING_REQUEST, secrets.token_bytes(12), attributes, self._theirs[1])

    def _report(self) -> None:
        ssrc, sequence = self._last
        if ssrc:
            block = rtcp.ReportBlock(ssrc, 0, 0, sequence, 10, 0, 0)
            self.send_rtcp(rtcp.ReceiverReport(1, (block,)))

    def _shake(self) -> None:
        if self._ssl is None:
            self._ssl = SSL.Connection(self._identity.context, None)
            self._ssl.set_connect_state()
            self._ssl.set_ciphertext_mtu(MAX_DATAGRAM_BYTES)
        try:
            if self._ssl.DTLSv1_get_timeout() == 0:
                self._ssl.DTLSv1_handle_timeout()
            self._ssl.do_handshake()
        except SSL.WantReadError:
            pass
        else:
            assert self._ssl.get_selected_srtp_profile() == _PROFILE.name
            exported = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", _PROFILE.exported_bytes)
            self.srtp = SrtpPair(split_keys(_PROFILE, exported, server=False))
        self._flush()

    def _flush(self) -> None:
        assert self._ssl is not None
        try:
            while True:
                for datagram in split_flight(self._ssl.bio_read(65536)):
                    self._send(datagram)
        except SSL.WantReadError:
            pass

    # --- datagrams

    def poll(self) -> None:
        """Take all that the socket holds."""
        buffer, counters, receive = self._buffer, self.counters, self.socket.recv_into
        numbered, told = self._numbered, self._told
        try:
            while True:
                size = receive(buffer)
                if buffer[0] & 0xC0 == 0x80 and not 192 <= buffer[1] <= 223:
                    if buffer[1] & 0x7F == RTX:
                        continue
                    counters.packets += 1
                    counters.octets += size
                    if numbered and buffer[16] >> 4 == numbered:
                        told.append((buffer[17] << 8 | buffer[18], int(time.monotonic() * 4000)))
                    if counters.packets % SAMPLE_EVERY == 0:
                        self._sample(bytes(self._view[:size]))
                else:
                    self._control(bytes(self._view[:size]))
        except BlockingIOError:
            pass

    def _sample(self, data: bytes) -> None:
        if self.srtp is None:
            return
        plain = self.srtp.receive_session.unprotect(data)
        start, _ = rtp.payload_range(plain)
        (stamp,) = STAMP.unpack_from(plain, start + STAMP_AT)
        self.counters.delays_s.append((time.monotonic_ns() - stamp) / 1e9)
        self._last = int.from_bytes(plain[8:12], "big"), int.from_bytes(plain[2:4], "big")

    def _control(self, data: bytes) -> None:
        if data[0] < 4:
            self._stun(data)
        elif 20 <= data[0] < 64 and self._ssl is not None:
            self._ssl.bio_write(data)
            if self.srtp is None:
                self._shake()

    def _stun(self, data: bytes) -> None:
        message = stun.parse(data)
        if message.type == stun.BINDING_SUCCESS:
            self._nominated = self._nominated or (self._controlling and message.is_authentic(self._theirs[1]))
        elif message.type == stun.BINDING_REQUEST and message.is_authentic(self.password) and self._server:
            self._send(stun.binding_success(message, self._server, self.password))
            self._nominated = self._nominated or message.nominates

    def _send(self, datagram: bytes) -> None:
        assert self._server is not None
        self.socket.sendto(datagram, self._server)

    def protect(self, packet: bytes) -> bytes:
        assert self.srtp is not None
        protected: bytes = self.srtp.send_session.protect(packet)
        return protected

    def send_protected(self, datagram: bytes) -> None:
        self._send(datagram)

    def send_rtcp(self, *packets: rtcp.Packet) -> None:
        assert self.srtp is not None
        self._send(self.srtp.protect_rtcp(rtcp.compound(packets)))


class LoadPublisher:
    """Sends pictures of given packet sizes on one SSRC."""

    def __init__(self, peer: LoadPeer, ssrc: int) -> None:
        self.peer = peer
        self.ssrc = ssrc
        self.sequence = 0
        self.packets = 0
        self._octets = 0
        self._timestamp = 0
        self._pictures = 0
        self._report_at = 0.0

    def restart(self) -> None:
        """The next picture is a key frame, so that every new subscriber begins with it."""
        self._pictures = 0

    def send_picture(self, sizes: Iterable[int], interval_s: float, now: float) -> None:
        """One picture, all its packets at once.

        Args:
            sizes: RTP payload bytes of each packet, at least 16.
            interval_s: until the next picture.
        """
        key = self._pictures % 50 == 0
        self._pictures += 1
        self._timestamp += round(interval_s * 90_000)
        sizes = list(sizes)
        for index, size in enumerate(sizes):
            head = bytes((0x10 if index == 0 else 0x00, 0x00 if key else 0x01, 0))
            payload = head + STAMP.pack(time.monotonic_ns()) + bytes(size - len(head) - STAMP.size)
            packet = rtp.pack(
                payload,
                payload_type=VIDEO,
                sequence=self.sequence,
                timestamp=self._timestamp,
                ssrc=self.ssrc,
                marker=index == len(sizes) - 1,
            )
            self.sequence += 1
            self.packets += 1
            self._octets += size
            self.peer.send_protected(self.peer.protect(packet))
        if now >= self._report_at:
            self._report_at = now + REPORT_EVERY_S
            ntp = int((time.time() + 2_208_988_800) * (1 << 32))
            report = rtcp.SenderReport(self.ssrc, ntp, self._timestamp & 0xFFFFFFFF, self.packets, self._octets)
            self.peer.send_rtcp(report)


def connect(peers: Iterable[LoadPeer], timeout_s: float = 20) -> None:
    """Poll until all are connected.

    Raises:
        TimeoutError: some are not.
    """
    waiting = list(peers)
    end = time.monotonic() + timeout_s
    while waiting:
        now = time.monotonic()
        if now > end:
            raise TimeoutError(f"{len(waiting)} peers did not connect within {timeout_s} s.")
        for peer in waiting:
            peer.poll()
            peer.step(now)
        waiting = [peer for peer in waiting if not peer.connected]
