"""Offer and answer of a media server that forwards packets as they are (RFC 9429, RFC 8843, RFC 9725).

Our end is always ICE-lite and the DTLS server, with one transport per peer and RTP and RTCP on one port. Three sides:

- a publisher offers, we answer `recvonly` (`answer_publisher`);
- we offer `sendonly` to a subscriber, it answers (`SubscriberNegotiation`);
- a WHEP player offers `recvonly`, we answer `sendonly` (`answer_player`).

Simulcast: all layers are taken that an offer names by RID (RFC 8853), up to `MAX_ENCODINGS`, or by an `ssrc-group:SIM`.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from media.codecmatch import (
    DEPENDENCY_DESCRIPTOR,
    TRANSPORT_SEQUENCE,
    TRANSPORT_WIDE,
    best_match,
    offered_codecs,
    offered_extensions,
)
from media.rtpparameters import (
    Codec,
    Kind,
    LocalTransport,
    PublishedMedia,
    RemoteTransport,
    SendingMedia,
    WantedTrack,
)
from media.sdp import Description, MediaSection, SdpError, is_token, number, parse, write
from media.sdpmedia import (
    RECEIVES,
    SENDS,
    codec_lines,
    formats,
    media_kind,
    mux_lines,
    receivable,
    sendable,
    track_lines,
    with_feedback,
    with_start_bitrate,
    with_transport_feedback,
)
from media.sdptransport import (
    Bundle,
    bundle,
    check_mux,
    direction,
    media_lines,
    rejected_lines,
    remote_transport,
    session_lines,
    transport_lines,
)
from media.subscribing import Accepted, Offer, SubscriberNegotiation

__all__ = [
    "Accepted",
    "Offer",
    "PlayerAnswer",
    "PublisherAnswer",
    "SdpError",
    "SubscriberNegotiation",
    "answer_player",
    "answer_publisher",
]

_RID = re.compile(r"[A-Za-z0-9_-]{1,16}")
"""RFC 8851 section 10, and no longer than a one-byte header extension can carry."""
MAX_ENCODINGS = 3
"""Simulcast layers taken of one track."""
MAX_LAYERS = 8
"""SSRCs or simulcast layers looked at per m-line."""


@dataclass(frozen=True, slots=True)
class PublisherAnswer:
    sdp: str
    remote: RemoteTransport
    media: tuple[PublishedMedia, ...]
    """Accepted m-lines in their order, also those that are inactive now; rejected ones are not in it."""


@dataclass(frozen=True, slots=True)
class PlayerAnswer:
    sdp: str
    remote: RemoteTransport
    sending: tuple[SendingMedia, ...]
    refused: dict[str, str]
    """Track to `no_common_codec` or `no_media_line`."""


# --- publishers -----------------------------------------------------------------------------------------------------


def answer_publisher(offer_sdp: str, local: LocalTransport, allow: Collection[Kind]) -> PublisherAnswer:
    """Answer a first or a later offer of a publisher. Holds no state: the same offer gives the same answer.

    Raises:
        SdpError: `sdp_invalid`, or `no_common_codec` when not one m-line can be taken.
    """
    offer = parse(offer_sdp)
    lines = bundle(offer)
    taken: dict[str, PublishedMedia] = {}
    bodies: dict[str, list[str]] = {}
    for line in lines.lines:
        kind = media_kind(line.section.kind)
        if line.alive and kind is not None and kind in allow:
            published = _published(offer, line.section, line.mid, kind)
            if published is not None:
                check_mux(line)
                taken[line.mid] = published
                bodies[line.mid] = _receiving_lines(line.section, published)
    if not taken:
        raise SdpError(
            "no_common_codec", "The offer has no m-line that may be sent with a codec that is forwarded here."
        )
    accepted = {mid: media.codecs for mid, media in taken.items()}
    text, remote = _answer(offer, lines, local, accepted, bodies)
    return PublisherAnswer(text, remote, tuple(taken.values()))


def _published(offer: Description, section: MediaSection, mid: str, kind: Kind) -> PublishedMedia | None:
    extensions = offered_extensions(section.attributes.all("extmap"), kind)
    agree = with_transport_feedback if TRANSPORT_SEQUENCE in extensions else with_feedback
    codecs = tuple(agree(codec, kind) for codec in offered_codecs(section))
    if not codecs:
        return None
    rids = _offered_rids(section)[:MAX_ENCODINGS] if kind == "video" else ()
    transport_wide = TRANSPORT_WIDE in codecs[0].feedback
    ssrcs, rtx = _declared_ssrcs(section)
    simulcast = _simulcast_group(section, ssrcs) if kind == "video" and not rids else ()
    if rids or simulcast:
        # It numbers the frames of one encoding only; a subscriber that changes between encodings would be misled.
        extensions = {uri: each for uri, each in extensions.items() if uri != DEPENDENCY_DESCRIPTOR}
    stream = (section.attributes.first("msid") or "").split(" ")[0]
    return PublishedMedia(
        mid=mid,
        kind=kind,
        codecs=codecs,
        extensions=receivable(extensions, layers=bool(rids), transport_wide=transport_wide),
        ssrcs=ssrcs,
        rtx=rtx,
        rids=rids,
        simulcast=simulcast,
        stream=stream if is_token(stream) and stream != "-" else "",
        active=direction(offer, section) in SENDS,
    )


def _offered_rids(section: MediaSection) -> tuple[str, ...]:
    """Layers that the offer would send, in its order; of alternatives the first; paused ones come last (RFC 8853)."""
    sent = {value.split(" ")[0] for value in section.attributes.all("rid") if value.split(" ")[1:2] == ["send"]}
    words = (section.attributes.first("simulcast") or "").split()
    if "send" not in words[:-1]:
        return ()
    layers = words[words.index("send") + 1].split(";", MAX_LAYERS)[:MAX_LAYERS]
    first = [layer.split(",")[0] for layer in layers]
    running = [rid for rid in first if not rid.startswith("~")] + [rid[1:] for rid in first if rid.startswith("~")]
    return tuple(rid for rid in dict.fromkeys(running) if rid in sent and _RID.fullmatch(rid))


def _simulcast_group(section: MediaSection, declared: Sequence[int]) -> tuple[int, ...]:
    """The SSRCs of a simulcast in Chromium's older way, which names the smallest picture first."""
    for value in section.attributes.all("ssrc-group"):
        words = value.split()
        if words[:1] == ["SIM"]:
            group = tuple(dict.fromkeys(filter(None, map(_ssrc, words[1 : MAX_LAYERS + 1]))))
            return group[:MAX_ENCODINGS] if len(group) > 1 and set(group) <= set(declared) else ()
    return ()


def _declared_ssrcs(section: MediaSection) -> tuple[tuple[int, ...], dict[int, int]]:
    """Media SSRCs, and RTX SSRC to media SSRC (RFC 5576)."""
    told = (_ssrc(value.split(" ")[0]) for value in section.attributes.all("ssrc"))
    declared = dict.fromkeys(ssrc for ssrc in told if ssrc)
    rtx: dict[int, int] = {}
    for value in section.attributes.all("ssrc-group"):
        words = value.split()
        if len(words) == 3 and words[0] == "FID":
            media, repair = _ssrc(words[1]), _ssrc(words[2])
            if media in declared and repair not in (0, media):
                rtx[repair] = media
    ssrcs = tuple(ssrc for ssrc in declared if ssrc not in rtx)[:MAX_LAYERS]
    return ssrcs, {repair: media for repair, media in rtx.items() if media in ssrcs}


def _ssrc(text: str) -> int:
    return number(text, 0xFFFFFFFF) or 0


def _receiving_lines(section: MediaSection, media: PublishedMedia) -> list[str]:
    lines = ["a=recvonly" if media.active else "a=inactive", *mux_lines(section)]
    lines += [f"a=extmap:{identifier} {uri}" for uri, identifier in media.extensions.items()]
    for codec in media.codecs:
        lines += codec_lines(with_start_bitrate(codec) if media.kind == "video" else codec)
    if media.rids:
        lines += [*(f"a=rid:{rid} recv" for rid in media.rids), f"a=simulcast:recv {';'.join(media.rids)}"]
    return lines


def _answer(
    offer: Description,
    lines: Bundle,
    local: LocalTransport,
    codecs: dict[str, tuple[Codec, ...]],
    bodies: dict[str, list[str]],
) -> tuple[str, RemoteTransport]:
    """The text of an answer that takes these m-lines, and the transport that its offer names for them."""
    order = [mid for mid in lines.order if mid in bodies]
    tagged = next(line.section for line in lines.lines if line.mid == order[0])
    remote = remote_transport(offer, tagged, is_answer=False)
    text = session_lines(offer.session_id, offer.version, order, "extmap-allow-mixed" in offer.attributes)
    for line in lines.lines:
        section = line.section
        if line.mid not in bodies:
            text += rejected_lines(section.kind, section.protocol, section.formats, line.mid)
            continue
        text += media_lines(section.kind, section.protocol, formats(codecs[line.mid]), local)
        text += [f"a=mid:{line.mid}", *transport_lines(local, "passive", line.mid == order[0]), *bodies[line.mid]]
    return write(text), remote


# --- players --------------------------------------------------------------------------------------------------------


def answer_player(offer_sdp: str, local: LocalTransport, wanted: Sequence[WantedTrack]) -> PlayerAnswer:
    """Answer a WHEP player: each of its m-lines gets the first wanted track of its kind that it can decode.

    Raises:
        SdpError: `sdp_invalid`, or `no_common_codec` when it can take none of the tracks.
    """
    offer = parse(offer_sdp)
    lines = bundle(offer)
    left = list(wanted)
    kinds: set[Kind] = set()
    able: list[Codec] = []
    answered: dict[str, tuple[Codec, ...]] = {}
    bodies: dict[str, list[str]] = {}
    sending: list[SendingMedia] = []
    for line in lines.lines:
        section, kind = line.section, media_kind(line.section.kind)
        codecs = offered_codecs(section) if line.alive and kind is not None else ()
        if kind is None or not codecs:
            continue
        check_mux(line)
        kinds.add(kind)
        able += codecs
        receives = direction(offer, section) in RECEIVES
        match = _first_playable([track for track in left if track.kind == kind], codecs) if receives else None
        if match is None:
            answered[line.mid] = codecs[:1]
            bodies[line.mid] = [*mux_lines(section), "a=inactive", *codec_lines(with_feedback(codecs[0], kind))]
            continue
        extensions = sendable(offered_extensions(section.attributes.all("extmap"), kind))
        agree = with_transport_feedback if TRANSPORT_SEQUENCE in extensions else with_feedback
        track, codec = match[0], agree(match[1], kind)
        left.remove(track)
        if TRANSPORT_WIDE not in codec.feedback:
            extensions.pop(TRANSPORT_SEQUENCE, None)
        sending.append(SendingMedia(line.mid, track.track, codec.payload_type, codec.rtx_payload_type, extensions))
        answered[line.mid] = (codec,)
        bodies[line.mid] = [*mux_lines(section), *track_lines(track, codec, extensions)]
    if not sending:
        raise SdpError("no_common_codec", "The offer can receive none of the tracks that are to be played.")
    text, remote = _answer(offer, lines, local, answered, bodies)
    refused = {track.track: "no_media_line" if _spare(able, kinds, track) else "no_common_codec" for track in left}
    return PlayerAnswer(text, remote, tuple(sending), refused)


def _spare(able: Sequence[Codec], kinds: Collection[Kind], track: WantedTrack) -> bool:
    """Whether a track was left out for want of an m-line only."""
    return best_match(able, track.codec) is not None or track.kind not in kinds


def _first_playable(wanted: Iterable[WantedTrack], codecs: Sequence[Codec]) -> tuple[WantedTrack, Codec] | None:
    for track in wanted:
        codec = best_match(codecs, track.codec)
        if codec is not None:
            return track, codec
    return None
