"""One opening of an RTSP camera: encoded access units as they come, nothing decoded.

FFmpeg's demultiplexer (PyAV) speaks RTSP with the cameras; here is what it needs around it: a URL that was checked,
time limits on everything (without them a silent camera holds a thread for ever), and its errors as reasons that a
person can act on. FFmpeg follows a redirect that a camera answers to DESCRIBE, to an RTSP address
only; that one is not checked.
"""

import errno
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import av.error

from media.ingest.address import AddressRefused, Policy, choose, connect_url, masked, parse_url, port_of
from media.ingest.messages import Reason, Stream
from media.packetize import parameter_sets, profile_level_id, split_annex_b

OPEN_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 3.0
"""As `media.stalled_after_s`: a camera that is silent for so long is opened anew."""
ANALYSED_S = 1.0
"""Of the stream, at most, to learn what it is."""

_SOUND: dict[str, Stream] = {
    "pcm_mulaw": Stream(codec="PCMU", clock_rate=8000),
    "pcm_alaw": Stream(codec="PCMA", clock_rate=8000),
    "opus": Stream(codec="opus", clock_rate=48000, channels=2),
}


class CameraFailed(Exception):
    """An opening is over; `reason` is the stable id of `Changed`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason: Reason = reason
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Unit:
    """One encoded access unit."""

    kind: Literal["video", "audio"]
    data: bytes
    time_s: float | None
    """When it is to be shown, on the camera's clock."""
    decode_s: float | None


@dataclass(frozen=True, slots=True)
class Described:
    """What an opened camera sends."""

    video: Stream
    audio: Stream | None
    width: int
    height: int
    parameter_sets: tuple[bytes, ...]
    """SPS and PPS from its session description: some cameras never repeat them."""
    audio_left_out: str = ""


Resolver = Callable[[str, int], list[str]]


def resolve(host: str, port: int) -> list[str]:
    """Addresses of a name; `socket.gaierror` where there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Opening:
    """A connection to a camera. Use from one thread."""

    def __init__(
        self, url: str, transport: Literal["tcp", "udp"], policy: Policy, *, audio: bool, resolver: Resolver = resolve
    ) -> None:
        """Connects; takes up to `OPEN_TIMEOUT_S` and some.

        Raises:
            CameraFailed: with the reason.
        """
        self._shown = masked(url)
        address = self._address(url, policy, resolver)
        self._container = self._open(address, transport)
        try:
            self._streams, self.described = self._describe(audio)
        except CameraFailed:
            self._container.close()
            raise

    def _address(self, url: str, policy: Policy, resolver: Resolver) -> str:
        try:
            parts = parse_url(url)
            host = parts.hostname or ""
            return connect_url(parts, choose(resolver(host, port_of(parts)), policy))
        except AddressRefused as error:
            raise CameraFailed("address_refused", str(error)) from error
        except (socket.gaierror, UnicodeError) as error:
            raise CameraFailed("name_unknown", f"The name in {self._shown} has no address.") from error

    def _open(self, address: str, transport: str) -> av.container.InputContainer:
        options = {
            "rtsp_transport": transport,
            "timeout": str(int(OPEN_TIMEOUT_S * 1e6)),
            "protocol_whitelist": "rtsp,rtsps,rtp,udp,tcp,tls,crypto",
            "analyzeduration": str(int(ANALYSED_S * 1e6)),
            "fpsprobesize": "0",  # its guess at the frame rate would cost a second
        }
        begun = time.monotonic()
        try:
            return av.open(address, options=options, timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S))
        except (av.error.FFmpegError, OSError) as error:
            if time.monotonic() - begun >= OPEN_TIMEOUT_S * 0.95:  # FFmpeg calls some of its time-outs bad data
                raise CameraFailed("timeout", f"{self._shown} did not answer in {OPEN_TIMEOUT_S:.0f} s.") from error
            raise self._failed(error, "timeout") from error

    def _describe(self, audio: bool) -> tuple[list[av.stream.Stream], Described]:
        if not self._container.streams.video:
            raise CameraFailed("no_video", f"{self._shown} sends no picture.")
        video = self._container.streams.video[0]
        name = video.codec_context.name
        if name != "h264":
            raise CameraFailed("codec_unsupported", f"{self._shown} sends {name}; set the camera to H.264.")
        sets = parameter_sets(split_annex_b(bytes(video.codec_context.extradata or b"")))
        parameters = (
            ("level-asymmetry-allowed", "1"),
            ("packetization-mode", "1"),
            ("profile-level-id", profile_level_id(sets) or "42e01f"),
        )
        sounds = list(self._container.streams.audio) if audio else []
        carried = next((one for one in sounds if self._sound(one) is not None), None)
        described = Described(
            video=Stream(codec="H264", clock_rate=90000, parameters=parameters),
            audio=self._sound(carried) if carried is not None else None,
            width=video.codec_context.width,
            height=video.codec_context.height,
            parameter_sets=sets,
            audio_left_out=sounds[0].codec_context.name if sounds and carried is None else "",
        )
        return [video] if carried is None else [video, carried], described

    @staticmethod
    def _sound(stream: av.AudioStream) -> Stream | None:
        """As RTP carries it; None for what is not carried."""
        context = stream.codec_context
        found = _SOUND.get(context.name)
        if found is None or (found.codec != "opus" and (context.sample_rate, context.channels) != (8000, 1)):
            return None
        return found

    def units(self) -> Iterator[Unit]:
        """Units in the order of their arrival, for ever.

        Raises:
            CameraFailed: silent for `READ_TIMEOUT_S`, ended or broken.
        """
        try:
            for packet in self._container.demux(self._streams):
                if not packet.size:
                    break
                base: Fraction = packet.time_base
                yield Unit(
                    "video" if packet.stream.type == "video" else "audio",
                    bytes(packet),
                    float(packet.pts * base) if packet.pts is not None else None,
                    float(packet.dts * base) if packet.dts is not None else None,
                )
        except (av.error.FFmpegError, OSError) as error:
            raise self._failed(error, "no_data") from error
        raise CameraFailed("ended", f"{self._shown} ended the stream.")

    def close(self) -> None:
        self._container.close()

    def _failed(self, error: Exception, late: Reason) -> CameraFailed:
        """FFmpeg's error as a reason; `late` is what running out of time means here."""
        name, number = self._shown, getattr(error, "errno", None)
        if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
            return CameraFailed("unauthorized", f"{name} refuses this name and password.")
        if isinstance(error, av.error.HTTPNotFoundError):
            return CameraFailed("not_found", f"{name} has no stream under this path.")
        if isinstance(error, av.error.HTTPClientError | av.error.HTTPServerError):
            return CameraFailed("refused", f"{name} refuses the request: {error.strerror}.")
        if isinstance(error, av.error.ExitError) or number == errno.ETIMEDOUT:
            return CameraFailed(late, f"{name} was silent for {READ_TIMEOUT_S:.0f} s.")
        if number == errno.ECONNREFUSED:
            return CameraFailed("connection_refused", f"Nothing listens at {name}.")
        if number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN):
            return CameraFailed("unreachable", f"No way leads to {name}.")
        if isinstance(error, av.error.InvalidDataError):
            return CameraFailed("no_stream", f"What {name} answers is no RTSP stream.")
        return CameraFailed("broken", f"{name} broke off: {getattr(error, 'strerror', None) or error}.")
