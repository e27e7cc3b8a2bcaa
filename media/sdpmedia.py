"""The codec, extension and stream lines of one m-line, and the little that reading and writing them share."""

from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

from media.codecmatch import REPAIRED_RID, RID, RTP_FEEDBACK, TRANSPORT_SEQUENCE, TRANSPORT_WIDE, parameters_text
from media.rtpparameters import Codec, Kind, WantedTrack
from media.sdp import MediaSection, is_token

PROTOCOL = "UDP/TLS/RTP/SAVPF"
RECEIVES = ("recvonly", "sendrecv")
SENDS = ("sendonly", "sendrecv")
START_KBPS = 500


def media_kind(name: str) -> Kind | None:
    for kind in get_args(Kind):
        if kind == name:
            found: Kind = kind
            return found
    return None


def with_feedback(codec: Codec, kind: Kind) -> Codec:
    parameters = tuple(pair for pair in codec.parameters if not pair[0].startswith("sprop-"))
    feedback = tuple(what for what in RTP_FEEDBACK[kind] if what in codec.feedback)
    return replace(codec, parameters=parameters, feedback=feedback)


def with_transport_feedback(codec: Codec, kind: Kind) -> Codec:
    """As `with_feedback`, of a sender that numbers the packets of its whole transport: it needs no estimate of ours."""
    agreed = with_feedback(codec, kind)
    if TRANSPORT_WIDE not in codec.feedback:
        return agreed
    return replace(agreed, feedback=(*(what for what in agreed.feedback if what != "goog-remb"), TRANSPORT_WIDE))


def with_start_bitrate(codec: Codec) -> Codec:
    """As our answer writes it to a sender that judges its way itself.

    From its usual 300 kbit/s Chromium begins with a small picture and keeps it for seconds: a quiet scene does not
    fill the way enough to show what it carries. Others know nothing of the parameter.
    """
    if TRANSPORT_WIDE not in codec.feedback:
        return codec
    return replace(codec, parameters=(*codec.parameters, ("x-google-start-bitrate", str(START_KBPS))))


def formats(codecs: Iterable[Codec]) -> list[str]:
    formats: list[str] = []
    for codec in codecs:
        formats.append(str(codec.payload_type))
        if codec.rtx_payload_type is not None:
            formats.append(str(codec.rtx_payload_type))
    return list(dict.fromkeys(formats))


def mux_lines(section: MediaSection) -> list[str]:
    return ["a=rtcp-mux", *(["a=rtcp-rsize"] if "rtcp-rsize" in section.attributes else [])]


def codec_lines(codec: Codec) -> list[str]:
    channels = f"/{codec.channels}" if codec.channels > 1 else ""
    lines = [f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}"]
    lines += [f"a=rtcp-fb:{codec.payload_type} {what}" for what in codec.feedback]
    if codec.parameters:
        lines.append(f"a=fmtp:{codec.payload_type} {parameters_text(codec)}")
    if codec.rtx_payload_type is not None:
        lines.append(f"a=rtpmap:{codec.rtx_payload_type} rtx/{codec.clock_rate}")
        lines.append(f"a=fmtp:{codec.rtx_payload_type} apt={codec.payload_type}")
    return lines


def sendable(extensions: dict[str, int]) -> dict[str, int]:
    """Those that we can send: without layers."""
    return _without(extensions, RID, REPAIRED_RID)


def receivable(extensions: dict[str, int], *, layers: bool, transport_wide: bool) -> dict[str, int]:
    """Those that a sender of ours may use."""
    left_out = () if layers else (RID, REPAIRED_RID)
    return _without(extensions, *left_out, *(() if transport_wide else (TRANSPORT_SEQUENCE,)))


def _without(extensions: dict[str, int], *uris: str) -> dict[str, int]:
    return {uri: number for uri, number in extensions.items() if uri not in uris}


def track_lines(track: WantedTrack, codec: Codec, extensions: dict[str, int]) -> list[str]:
    """What we send on an m-line: direction, extensions, codec, stream and SSRCs."""
    name = _safe(track.cname)
    lines = ["a=sendonly", f"a=msid:{_safe(track.stream)} {_safe(track.track)}"]
    lines += [f"a=extmap:{number} {uri}" for uri, number in extensions.items()]
    lines += codec_lines(codec)
    lines.append(f"a=ssrc:{track.ssrc} cname:{name}")
    if codec.rtx_payload_type is not None:
        lines.append(f"a=ssrc:{track.rtx_ssrc} cname:{name}")
        lines.append(f"a=ssrc-group:FID {track.ssrc} {track.rtx_ssrc}")
    return lines


def _safe(text: str) -> str:
    """A token: the name came from another client."""
    return "".join(char if is_token(char) else "-" for char in text[:64]) or "-"
