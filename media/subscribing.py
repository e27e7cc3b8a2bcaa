"""Our offers to one subscriber and its answers.

m-lines are only ever added. A track that goes leaves its m-line inactive; when an answer has agreed to that, the next
track of the kind may take it over (not before: a browser announces a track only when a direction changes). An m-line
that an answer rejected is dead and may be taken over by a track of any kind under a new mid (RFC 9429 section 5.2.2).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from media.codecmatch import (
    EXTENSIONS,
    RTP_FEEDBACK,
    TRANSPORT_SEQUENCE,
    TRANSPORT_WIDE,
    best_match,
    configuration,
    offered_codecs,
    offered_extensions,
)
from media.rtpparameters import Codec, Kind, LocalTransport, RemoteTransport, SendingMedia, WantedTrack
from media.sdp import MAX_MEDIA, Description, SdpError, invalid, parse, write
from media.sdpmedia import PROTOCOL, RECEIVES, codec_lines, formats, sendable, track_lines
from media.sdptransport import (
    Bundled,
    bundle,
    check_mux,
    direction,
    media_lines,
    rejected_lines,
    remote_transport,
    session_lines,
    transport_lines,
)

_USUAL_PAYLOAD_TYPES: Mapping[tuple[str, ...], tuple[int, int | None]] = {
    ("opus", "48000", "2"): (111, None),
    ("PCMU", "8000", "1"): (0, None),
    ("PCMA", "8000", "1"): (8, None),
    ("VP8", "90000", "1"): (96, 97),
    ("VP9", "0"): (98, 99),
    ("VP9", "2"): (100, 101),
    ("AV1", "0"): (45, 46),
    ("H264", "42001f"): (102, 103),
    ("H264", "42e01f"): (108, 109),
    ("H264", "4d001f"): (116, 117),
    ("H264", "64001f"): (112, 113),
}
"""The same for every subscriber, and as Chromium has them, so that most packets keep theirs."""
_FREE_PAYLOAD_TYPES = (*range(118, 128), *range(35, 45), *range(47, 64), 104, 105, 106, 107, 110, 114, 115)


@dataclass(frozen=True, slots=True)
class Offer:
    sdp: str
    generation: int
    mids: dict[str, str]
    """Mid to track, of every m-line that sends."""
    refused: dict[str, str] = field(default_factory=dict)
    """Track to the reason why it is not in the offer: `no_common_codec` and `declined` (by an earlier answer),
    `too_many_tracks`, `too_many_codecs`."""


@dataclass(frozen=True, slots=True)
class Accepted:
    remote: RemoteTransport
    sending: tuple[SendingMedia, ...]
    refused: dict[str, str]
    """Track to `no_common_codec` or `declined`; such a track is offered again only when it comes with another codec or
    has been off the list in between."""


@dataclass(slots=True)
class _Slot:
    """One m-line of our offers."""

    mid: str
    kind: Kind
    codec: Codec
    """With the payload types of this bundle."""
    track: WantedTrack | None
    state: str = "used"
    """`used`, `free` (an answer agreed that nothing is sent) or `dead` (an answer rejected the m-line)."""


class SubscriberNegotiation:
    """All offers to one subscribing peer. Not thread-safe, does no I/O."""

    def __init__(self, local: LocalTransport) -> None:
        self._local = local
        self._session_id = crc32(local.ufrag.encode())
        self._slots: list[_Slot] = []
        self._payload_types: dict[tuple[str, ...], tuple[int, int | None]] = {}
        self._refused: dict[str, tuple[tuple[str, ...], str]] = {}
        self._generation = 0
        self._accepted = 0
        self._next_mid = 0

    def offer(self, wanted: Sequence[WantedTrack], restart: LocalTransport | None = None) -> Offer | None:
        """The offer that brings the subscriber to exactly these tracks, or None when the last one already does and
        was answered.

        Args:
            wanted: the whole list; the order tells which tracks come first where not all fit.
            restart: new ICE credentials of our end: the offer asks for an ICE restart.
        """
        by_track = {track.track: track for track in wanted}
        changed = self._take_away(by_track)
        changed |= self._place(by_track)
        if restart is not None:
            self._local = restart
            changed |= bool(self._slots)
        if not changed and self._accepted == self._generation:
            return None  # an offer that nobody answered may have been lost, and is made again
        self._generation += 1
        mids = {slot.mid: slot.track.track for slot in self._slots if slot.track is not None}
        return Offer(self._write(), self._generation, mids, self.refused)

    @property
    def refused(self) -> dict[str, str]:
        """Wanted tracks that this subscriber cannot get, with the reason's id."""
        return {track: reason for track, (_, reason) in self._refused.items()}

    def accept(self, generation: int, answer_sdp: str) -> Accepted:
        """Take the answer to an offer.

        Raises:
            SdpError: `stale` unless it answers the newest offer and is the first to do so; `sdp_invalid`;
                `no_common_codec` when it rejects every m-line. Nothing has changed then.
        """
        if generation != self._generation or generation == self._accepted:
            raise SdpError("stale", f"The answer is to offer {generation}, the newest offer is {self._generation}.")
        answer = parse(answer_sdp)
        lines = self._answered_lines(answer)
        order = [mid for mid in bundle(answer).order if any(line.alive and line.mid == mid for line in lines)]
        if not order:
            raise SdpError("no_common_codec", "The answer rejects every m-line of the offer.")
        tagged = next(line for line in lines if line.mid == order[0])
        remote = remote_transport(answer, tagged.section, is_answer=True)
        results = [self._answered(answer, slot, line) for slot, line in zip(self._slots, lines, strict=True)]
        self._accepted = generation
        sending: list[SendingMedia] = []
        refused: dict[str, str] = {}
        for slot, line, result in zip(self._slots, lines, results, strict=True):
            if isinstance(result, SendingMedia):
                sending.append(result)
            elif slot.track is not None:
                refused[slot.track.track] = result
                self._refused[slot.track.track] = (configuration(slot.track.codec), result)
                slot.track = None
            if slot.track is None:
                slot.state = "free" if line.alive else "dead"
        return Accepted(remote, tuple(sending), refused)

    # --- which track sits where

    def _take_away(self, wanted: Mapping[str, WantedTrack]) -> bool:
        changed = False
        for slot in self._slots:
            if slot.track is not None and slot.track.track not in wanted:
                slot.track = None
                changed = True
        for track in [track for track in self._refused if track not in wanted]:
            del self._refused[track]
        return changed

    def _place(self, wanted: Mapping[str, WantedTrack]) -> bool:
        changed = False
        placed = {slot.track.track: slot for slot in self._slots if slot.track is not None}
        for track in wanted.values():
            slot = placed.get(track.track)
            if slot is not None and slot.track == track:
                continue
            refusal = self._refused.get(track.track)
            if refusal is not None and refusal[0] == configuration(track.codec) and refusal[1] not in _OURS:
                continue
            self._refused.pop(track.track, None)
            reason = self._seat(track, slot)
            if reason:
                self._refused[track.track] = (configuration(track.codec), reason)
            changed |= not reason or slot is not None
        return changed

    def _seat(self, track: WantedTrack, slot: _Slot | None) -> str:
        """Put a track on its m-line, a free one, a dead one or a new one; "" or the reason why not."""
        codec = self._numbered(track)
        if codec is None:
            if slot is not None:
                slot.track = None
            return "too_many_codecs"
        if slot is None:
            slot = self._vacant(track.kind, codec)
        if slot is None:
            return "too_many_tracks"
        slot.track, slot.codec, slot.kind, slot.state = track, codec, track.kind, "used"
        return ""

    def _vacant(self, kind: Kind, codec: Codec) -> _Slot | None:
        for slot in self._slots:
            if slot.state == "free" and slot.kind == kind:
                return slot
        for slot in self._slots:
            if slot.state == "dead":
                slot.mid = self._new_mid()
                return slot
        if len(self._slots) >= MAX_MEDIA:
            return None
        slot = _Slot(self._new_mid(), kind, codec, None)
        self._slots.append(slot)
        return slot

    def _new_mid(self) -> str:
        self._next_mid += 1
        return str(self._next_mid - 1)

    def _numbered(self, track: WantedTrack) -> Codec | None:
        """The track's codec with this bundle's payload types and what we answer to as feedback."""
        key = configuration(track.codec)
        numbers = self._payload_types.get(key) or _USUAL_PAYLOAD_TYPES.get(key) or self._free_numbers(track.kind)
        if numbers is None:
            return None
        self._payload_types[key] = numbers
        return replace(
            track.codec,
            payload_type=numbers[0],
            rtx_payload_type=numbers[1],
            feedback=(*RTP_FEEDBACK[track.kind], TRANSPORT_WIDE),
        )

    def _free_numbers(self, kind: Kind) -> tuple[int, int | None] | None:
        used = {number for pair in self._payload_types.values() for number in pair}
        free = [number for number in _FREE_PAYLOAD_TYPES if number not in used]
        if kind == "audio":
            return (free[0], None) if free else None
        return (free[0], free[1]) if len(free) > 1 else None

    # --- the offer's text

    def _write(self) -> str:
        living = [slot.mid for slot in self._slots if slot.state != "dead"]
        text = session_lines(self._session_id, self._generation, living, mixed_extensions=True)
        for slot in self._slots:
            text += self._section(slot, tagged=bool(living) and slot.mid == living[0])
        return write(text)

    def _section(self, slot: _Slot, tagged: bool) -> list[str]:
        if slot.state == "dead":
            return rejected_lines(slot.kind, PROTOCOL, formats([slot.codec]), slot.mid)
        lines = media_lines(slot.kind, PROTOCOL, formats([slot.codec]), self._local)
        lines += [f"a=mid:{slot.mid}", *transport_lines(self._local, "actpass", tagged), "a=rtcp-mux", "a=rtcp-rsize"]
        if slot.track is None:
            return [*lines, "a=inactive", *codec_lines(slot.codec)]
        return [*lines, *track_lines(slot.track, slot.codec, sendable(EXTENSIONS[slot.kind]))]

    # --- the answer

    def _answered_lines(self, answer: Description) -> tuple[Bundled, ...]:
        lines = bundle(answer).lines
        if [line.mid for line in lines] != [slot.mid for slot in self._slots]:
            raise invalid("The answer's m-lines are not those of the offer.")
        for slot, line in zip(self._slots, lines, strict=True):
            if line.section.kind != slot.kind:
                raise invalid(
                    f"The answer's m-line {line.mid} is {line.section.kind[:16]}, the offer's is {slot.kind}."
                )
            if line.alive:
                check_mux(line)
        return lines

    def _answered(self, answer: Description, slot: _Slot, line: Bundled) -> SendingMedia | str:
        """What is sent on this m-line, or why its track is not ("" where there is none)."""
        if slot.track is None:
            return ""
        if not line.alive:
            return "no_common_codec"
        if direction(answer, line.section) not in RECEIVES:
            return "declined"
        codec = _answered_codec(offered_codecs(line.section), slot.codec)
        if codec is None:
            return "no_common_codec"
        offered = sendable(EXTENSIONS[slot.kind])
        extensions = offered_extensions(line.section.attributes.all("extmap"), slot.kind)
        agreed = {uri: number for uri, number in extensions.items() if offered.get(uri) == number}
        if TRANSPORT_WIDE not in codec.feedback:
            agreed.pop(TRANSPORT_SEQUENCE, None)
        return SendingMedia(slot.mid, slot.track.track, codec.payload_type, codec.rtx_payload_type, agreed)


_OURS = ("too_many_tracks", "too_many_codecs")
"""Refusals that may end when other tracks go."""


def _answered_codec(answered: Iterable[Codec], offered: Codec) -> Codec | None:
    able = list(answered)
    same = [codec for codec in able if codec.payload_type == offered.payload_type]
    return best_match(same, offered) or best_match(able, offered)
