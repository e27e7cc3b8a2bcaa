"""A WHIP session from this process: pictures and sound in, RTP to a server out.

FFmpeg's WHIP muxer, as PyAV ships it, does the sending; H264 and Opus are all that it takes. Two things it needs from
us: a P-256 certificate, because OpenSSL refuses the one it makes itself, and a process of its own, because a handshake
in it holds the interpreter's lock.
"""

import contextlib
import faulthandler
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from types import FrameType

import av
import av.error
import numpy as np
import numpy.typing as npt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Picture = npt.NDArray[np.uint8]
"""Height x width x 3, RGB."""
Sound = npt.NDArray[np.int16]
"""Samples x 2."""

SOUND_RATE = 48_000
SOUND_FRAME = 960
"""Samples of one Opus frame, 20 ms."""
KEYFRAME_S = 2.0
"""The muxer passes no key-frame request on to us, so key frames come by the clock."""
HANDSHAKE_MS = 8_000
STUCK_S = 40
"""A muxer that does not return for so long takes the process with it; whoever started us starts us again."""
CLOSE_S = 5
RECONNECT_S = (1.0, 2.0, 4.0, 8.0, 15.0)
HEALTHY_S = 20.0
"""A session that lasted so long is followed by the first wait again."""
_TRIES = "LAMPROOM_PUBLISH_TRIES"


class PublishError(Exception):
    """Publishing failed; the sentence is for the person who asked for it."""


class SourceError(PublishError):
    """The source cannot be read."""


class OutletError(PublishError):
    """The server refused the stream, or it was lost."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to publish."""

    url: str
    token: str
    width: int = 640
    height: int = 360
    frames_per_s: float = 15.0
    video_bit_s: int = 500_000
    audio: bool = True


def make_certificate(folder: Path) -> "Certificate":
    """Write a self-signed P-256 certificate (RFC 8827 6.5) and its key; their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "whip")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


_LOST: list[av.container.OutputContainer] = []

Certificate = tuple[Path, Path]
"""Files of a certificate and its key."""


class Outlet:
    """One WHIP session. Pictures and sound carry seconds since its start; both must rise."""

    def __init__(self, target: Target, certificate: Certificate) -> None:
        """Connect.

        Raises:
            OutletError: refused, or out of reach.
        """
        options = {
            "authorization": target.token,
            "cert_file": str(certificate[0]),
            "key_file": str(certificate[1]),
            "handshake_timeout": str(HANDSHAKE_MS),
            "whip_flags": "dtls_active",  # we call: a server that is ICE-lite waits in DTLS too
        }
        self._target = target
        self._container = av.open(target.url, "w", format="whip", options=options, timeout=10)
        rate = Fraction(target.frames_per_s).limit_denominator(1000)
        self._video = self._container.add_stream("libx264", rate=rate)
        self._video.width, self._video.height, self._video.pix_fmt = target.width, target.height, "yuv420p"
        self._video.bit_rate = target.video_bit_s
        self._video.gop_size = max(1, round(target.frames_per_s * KEYFRAME_S))
        self._video.codec_context.max_b_frames = 0
        self._video.codec_context.thread_count = 1
        kbit_s = target.video_bit_s // 1000
        self._video.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            "x264-params": f"vbv-maxrate={kbit_s}:vbv-bufsize={kbit_s}:scenecut=0",
        }
        self._audio = None
        if target.audio:
            self._audio = self._container.add_stream("libopus", rate=SOUND_RATE, layout="stereo")
            self._audio.bit_rate = 32_000
            self._audio.options = {"compression_level": "2", "application": "lowdelay"}
        self._samples = 0
        self._closed = False
        try:
            self._container.start_encoding()  # the whole handshake: HTTP, ICE, DTLS
        except (av.error.FFmpegError, OSError) as error:
            self._lose()
            raise OutletError(f"{target.url} refused or did not answer: {error.strerror or error}.") from error

    def picture(self, picture: Picture, at_s: float) -> None:
        """Send one picture of exactly the target's size.

        Raises:
            OutletError: the connection is lost.
        """
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = round(at_s * 90_000), Fraction(1, 90_000)
        with self._failing():
            for packet in self._video.encode(frame):
                self._container.mux(packet)

    @property
    def sound_s(self) -> float:
        """How much sound was sent, seconds."""
        return self._samples / SOUND_RATE

    def sound(self, samples: Sound) -> None:
        """Send the next samples.

        Raises:
            OutletError: the connection is lost.
        """
        if self._audio is None:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, self._samples, Fraction(1, SOUND_RATE)
        self._samples += len(samples)
        with self._failing():
            for packet in self._audio.encode(frame):
                self._container.mux(packet)

    def close(self) -> None:
        """Say good-bye (the muxer sends the DELETE). A lost session is left as it is, for closing it may never end."""
        if not self._closed:
            self._closed = True
            faulthandler.dump_traceback_later(CLOSE_S, exit=True)
            with contextlib.suppress(av.error.FFmpegError, OSError):
                self._container.close()
            faulthandler.cancel_dump_traceback_later()

    def _lose(self) -> None:
        self._closed = True
        _LOST.append(self._container)  # kept from being freed, which would close it

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            self._lose()
            raise OutletError(f"The stream to {self._target.url} was lost: {error.strerror or error}.") from error


# --- sending in real time ---------------------------------------------------------------------------------------------


class Pace:
    """Real time, without drift: waits until a moment of the stream has come."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._start

    def until(self, at_s: float) -> None:
        if (left := at_s - self.now_s) > 0:
            time.sleep(left)


def room_noise(seed: int) -> Sound:
    """Two seconds of a quiet room with a mains hum, made so that they can be repeated without a click."""
    rng = np.random.default_rng(seed)
    count = 2 * SOUND_RATE
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum *= 1.0 / np.maximum(np.arange(len(spectrum)) / 40.0, 1.0)  # falls with frequency, as in a room
    noise = np.fft.irfft(spectrum, count)
    t = np.arange(count) / SOUND_RATE
    wave = (
        90.0 * noise / np.abs(noise).max() * 4 + 60.0 * np.sin(2 * np.pi * 50 * t) + 25.0 * np.sin(2 * np.pi * 100 * t)
    )
    return np.repeat(wave.astype(np.int16)[:, None], 2, axis=1)


def send(outlet: Outlet, target: Target, picture_at: Callable[[float], Picture], sound: Sound, seconds: float) -> None:
    """Send pictures by the clock, and `sound` over and over, for `seconds` (infinite: until lost)."""
    pace, n = Pace(), 0
    while (at_s := n / target.frames_per_s) < seconds:
        pace.until(at_s)
        if pace.now_s - at_s > 1.0:  # the machine was busy or asleep: leave pictures out rather than run behind
            n = int(pace.now_s * target.frames_per_s) + 1
            continue
        keep_alive()
        outlet.picture(picture_at(at_s), at_s)
        while target.audio and outlet.sound_s <= at_s:
            first = round(outlet.sound_s * SOUND_RATE) % len(sound)
            outlet.sound(sound[first : first + SOUND_FRAME])
        n += 1


def keep_alive() -> None:
    """Put the watchdog off. FFmpeg may hang with the interpreter's lock held, so only a thread of C can watch it."""
    faulthandler.dump_traceback_later(STUCK_S, exit=True)


def end_on_signals() -> None:
    """Let SIGTERM end the process like Ctrl+C, so that the server is told good-bye."""

    def end(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def say(**what: object) -> None:
    """One line of JSON on standard output, for whoever started us."""
    sys.stdout.write(json.dumps(what, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def run_publisher(once: Callable[[Certificate], None], *, forever: bool) -> int:
    """Call `once` until it ends by itself. When the connection is lost, wait, later and later, and begin anew.

    Beginning anew replaces the whole process (same arguments, same standard input): FFmpeg may hang for ever in closing
    a session whose other end has gone.

    Returns:
        An exit status: 0 ended, 1 failed, 130 interrupted.
    """
    began, reason = time.monotonic(), ""
    try:
        with tempfile.TemporaryDirectory(prefix="lamproom-publish-") as folder:
            certificate = make_certificate(Path(folder))
            while not reason:
                try:
                    keep_alive()
                    once(certificate)
                    if not forever:
                        return 0
                except SourceError as error:
                    reason = str(error)
                    if not forever:
                        say(state="failed", reason=reason)
                        return 1
                except OutletError as error:
                    reason = str(error)
        tries = 0 if time.monotonic() - began > HEALTHY_S else int(os.environ.get(_TRIES, "0"))
        wait_s = RECONNECT_S[min(tries, len(RECONNECT_S) - 1)]
        say(state="lost", reason=reason, again_in_s=wait_s)
        faulthandler.cancel_dump_traceback_later()
        time.sleep(wait_s)
    except KeyboardInterrupt:
        return 130
    os.environ[_TRIES] = str(tries + 1)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
