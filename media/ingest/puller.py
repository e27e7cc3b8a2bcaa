"""One camera from its address to RTP packets at the door of a media worker, in a thread of its own.

| State | What happens | Next |
|---|---|---|
| connecting | name, address, connection, log-in, description | waiting, or backoff |
| waiting | units come, no key frame yet | live at the first key frame; backoff after too long or a failure |
| live | units go out as RTP | backoff when silent, ended or broken |
| backoff | nothing, for a while (`media.ingest.patience`) | connecting |

Until the server has said where packets go, the units since the last key frame are held, so that the first picture is
not lost with a group of pictures that may last many seconds. Unlike `media.door.DoorSender` this thread may wait a
little for the door, so that a large key frame passes whole.
"""

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from media.ingest.address import Policy
from media.ingest.messages import Add, Attach, Changed, Facts, Opened, Reason, State
from media.ingest.patience import Patience
from media.ingest.rtsp import CameraFailed, Described, Opening, Unit
from media.ingest.timeline import Timeline
from media.packetize import h264_payloads, is_h264_key, parameter_sets, split_annex_b
from media.rtcp import SenderReport, compound
from media.sourcetime import ntp

KEYFRAME_PATIENCE_S = 20.0
FACTS_S = 2.0
REPORT_S = 1.0
MAX_HELD_BYTES = 4 << 20
SEND_TIMEOUT_S = 0.2
"""A media worker that takes nothing for so long loses packets; the camera must not wait for it."""
DIAL_AGAIN_S = 1.0
"""A door that closed, or is not there, is tried again after this."""
IMPATIENT_S = 2.0
"""After that it is not waited for at all, for so long."""

_HEADER = struct.Struct("!BBHII")


class Source(Protocol):
    """An opened camera, as `media.ingest.rtsp.Opening`."""

    described: Described

    def units(self) -> Iterator[Unit]: ...
    def close(self) -> None: ...


class _Track:
    """RTP headers and sender reports of one outgoing stream."""

    def __init__(self, clock_rate: int) -> None:
        self.timeline = Timeline(clock_rate, random.getrandbits(32))
        self.sequence = random.getrandbits(16)
        self.ssrc = 0
        self.payload_type = 0
        self.packets = self.octets = 0
        self._reported_at = 0.0

    def packet(self, payload: bytes, timestamp: int, *, marker: bool) -> bytes:
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        head = _HEADER.pack(0x80, marker << 7 | self.payload_type, self.sequence, timestamp, self.ssrc)
        return head + payload

    def report(self, timestamp: int, now: float) -> bytes | None:
        """Once a second: which wall clock time a timestamp is, so that sound and picture stay together."""
        if now - self._reported_at < REPORT_S:
            return None
        self._reported_at = now
        report = SenderReport(self.ssrc, ntp(time.time()), timestamp, self.packets, self.octets)
        return compound([report])


@dataclass(slots=True)
class _Counted:
    """Since the last report."""

    since: float
    frames: int = 0
    octets: int = 0


class Puller:
    """See the module's head. `attach`, `detach` and `stop` may be called from another thread."""

    def __init__(
        self,
        add: Add,
        policy: Policy,
        tell: Callable[[BaseModel], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        opener: Callable[..., Source] = Opening,
    ) -> None:
        self.add = add
        self._policy = policy
        self._tell = tell
        self._clock = clock
        self._opener = opener
        self._patience = Patience(random.random)
        self._stopping = threading.Event()
        self._wanted: Attach | None = None
        """The newest word of the server; taken over by the thread."""
        self._attached: Attach | None = None
        self._socket: socket.socket | None = None
        self._token = b""
        self._dial_at = 0.0
        self._full_at: float | None = None
        """When the door took nothing."""
        self._opening = 0
        self._state: State = "connecting"
        self._live_at = 0.0
        self._key_at: float | None = None
        self._key_data = b""
        """The newest key frame."""
        self._key_interval_s: float | None = None
        self._reordered = False
        self._video, self._audio = _Track(90000), _Track(8000)
        self._sets: tuple[bytes, ...] = ()
        self._held: list[tuple[Unit, float]] = []
        """With the time of arrival."""
        self._held_bytes = 0
        self._counted = _Counted(clock())
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name=f"camera {add.camera}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends soon: a read in progress lasts up to its time limit."""
        self._stopping.set()

    def attach(self, attach: Attach) -> None:
        self._wanted = attach

    def detach(self) -> None:
        self._wanted = None

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            failed = self._once()
            if self._stopping.is_set():
                return
            wait_s = self._patience.wait_s(failed.reason)
            self._enter("backoff", failed.reason, failed.detail, round(wait_s, 1))
            self._stopping.wait(wait_s)

    def _once(self) -> CameraFailed:
        """One opening, until it fails or is stopped."""
        self._enter("connecting")
        try:
            opening = self._opener(self.add.url, self.add.transport, self._policy, audio=self.add.audio)
        except CameraFailed as failed:
            return failed
        try:
            self._begin(opening.described)
            for unit in opening.units():
                if self._stopping.is_set():
                    break
                self._unit(unit)
        except CameraFailed as failed:
            return failed
        finally:
            opening.close()
            self._end()
        return CameraFailed("ended", "It was removed.")

    def _begin(self, described: Described) -> None:
        self._opening += 1
        self._sets = described.parameter_sets
        self._key_at, self._key_interval_s, self._reordered = None, None, False
        self._counted = _Counted(self._clock())
        self._video.timeline.reconnected()
        if described.audio is not None and described.audio.clock_rate != 8000:
            self._audio = _Track(described.audio.clock_rate)
        self._audio.timeline.reconnected()
        self._live_at = self._clock()
        self._enter("waiting")
        self._tell(
            Opened(
                camera=self.add.camera, opening=self._opening, video=described.video, audio=described.audio,
                width=described.width, height=described.height, audio_left_out=described.audio_left_out,
            )
        )  # fmt: skip

    def _end(self) -> None:
        if self._state == "live":
            self._patience.ran(self._clock() - self._live_at)
        self._held.clear()
        self._held_bytes = 0
        self._attached = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _enter(self, state: State, reason: Reason = "", detail: str = "", retry_in_s: float = 0.0) -> None:
        self._state = state
        self._tell(Changed(camera=self.add.camera, state=state, reason=reason, detail=detail, retry_in_s=retry_in_s))

    # --- units --------------------------------------------------------------------------------------------------------

    def _unit(self, unit: Unit) -> None:
        """Raises:
        CameraFailed: no key frame for too long.
        """
        now = self._clock()
        if unit.kind == "video":
            self._look(unit, now)
        if self._state == "live":
            self._take_over()
            if self._attached is not None:
                self._send(unit, now)
            else:
                self._hold(unit, now)
        elif now - self._live_at > KEYFRAME_PATIENCE_S:
            raise CameraFailed("no_keyframe", f"No key frame in {KEYFRAME_PATIENCE_S:.0f} s.")
        self._report(now)

    def _look(self, unit: Unit, now: float) -> None:
        self._counted.frames += 1
        self._counted.octets += len(unit.data)
        if unit.time_s is not None and unit.decode_s is not None and unit.time_s > unit.decode_s:
            self._reordered = True
        if not is_h264_key(split_annex_b(unit.data)):
            return
        if self._key_at is not None:
            self._key_interval_s = round(now - self._key_at, 2)
        self._key_at = now
        self._key_data = unit.data
        self._held.clear()
        self._held_bytes = 0
        if self._state != "live":
            self._live_at = now
            self._enter("live")

    def _hold(self, unit: Unit, now: float) -> None:
        """From a key frame on; less is of no use to anybody."""
        if not self._held and (unit.kind != "video" or self._key_data is not unit.data):
            return
        self._held.append((unit, now))
        self._held_bytes += len(unit.data)
        if self._held_bytes > MAX_HELD_BYTES:
            self._held.clear()
            self._held_bytes = 0

    def _take_over(self) -> None:
        """Do what the server said last; what was held goes out first."""
        wanted = self._wanted
        if wanted is self._attached or (wanted is not None and self._clock() < self._dial_at):
            return
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._attached = None
        if wanted is None or wanted.opening != self._opening:
            return
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.settimeout(SEND_TIMEOUT_S)
        try:
            link.connect(wanted.address)
        except OSError:
            link.close()  # the media worker is being started again; the server will name another address
            self._dial_at = self._clock() + DIAL_AGAIN_S
            return
        self._full_at = None
        self._socket, self._attached, self._token = link, wanted, bytes.fromhex(wanted.token)
        self._video.ssrc, self._video.payload_type = wanted.video.ssrc, wanted.video.payload_type
        if wanted.audio is not None:
            self._audio.ssrc, self._audio.payload_type = wanted.audio.ssrc, wanted.audio.payload_type
        held, self._held, self._held_bytes = self._held, [], 0
        for unit, arrived in held:  # each with its own time: to the timeline they did not come all at once
            self._send(unit, arrived)

    def _send(self, unit: Unit, now: float) -> None:
        if unit.kind == "audio":
            if self._attached is not None and self._attached.audio is not None:
                stamp = self._audio.timeline.timestamp(unit.time_s, now)
                self._datagram(self._audio.packet(unit.data, stamp, marker=False))
                self._datagram(self._audio.report(stamp, now))
            return
        units = split_annex_b(unit.data)
        if is_h264_key(units) and not parameter_sets(units):
            units = [*self._sets, *units]
        stamp = self._video.timeline.timestamp(unit.time_s, now)
        payloads = list(h264_payloads(units))
        for number, payload in enumerate(payloads):
            self._datagram(self._video.packet(payload, stamp, marker=number == len(payloads) - 1))
        self._datagram(self._video.report(stamp, now))

    def _datagram(self, packet: bytes | None) -> None:
        if packet is None:
            return
        if self._socket is None:
            self._dropped += 1
            return
        if self._full_at is not None and self._clock() - self._full_at >= IMPATIENT_S:
            self._full_at = None
            self._socket.settimeout(SEND_TIMEOUT_S)
        try:
            self._socket.send(self._token + packet)
        except (TimeoutError, BlockingIOError):
            self._dropped += 1
            if self._full_at is None:
                self._full_at = self._clock()
                self._socket.settimeout(0.0)
        except OSError:
            self._dropped += 1
            self._socket.close()
            self._socket, self._attached = None, None
            self._dial_at = self._clock() + DIAL_AGAIN_S

    def _report(self, now: float) -> None:
        counted = self._counted
        elapsed = now - counted.since
        if elapsed < FACTS_S:
            return
        self._counted = _Counted(now)
        self._tell(
            Facts(
                camera=self.add.camera,
                frames_per_s=round(counted.frames / elapsed, 1),
                bitrate_bps=round(counted.octets * 8 / elapsed),
                keyframe_interval_s=self._key_interval_s,
                reordered=self._reordered,
                jumps=self._video.timeline.jumps,
                dropped=self._dropped,
            )
        )
