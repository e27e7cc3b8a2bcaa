"""Which codecs and header extensions are forwarded, how SDP names them, and when two of them are the same.

Sources: RFC 3551 (static payload types), RFC 4588 (rtx), RFC 6184 section 8 (H.264 profiles), RFC 7587 (Opus),
RFC 9628 (VP9), the AV1 RTP specification 1.0.0 section 7.2.
"""

import re
from collections.abc import Iterable, Mapping

from media.rtpparameters import Codec, Kind
from media.sdp import MediaSection, invalid, number

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
TRANSPORT_SEQUENCE = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
DEPENDENCY_DESCRIPTOR = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"

EXTENSIONS: dict[Kind, dict[str, int]] = {
    "audio": {AUDIO_LEVEL: 1, ABS_SEND_TIME: 2, TRANSPORT_SEQUENCE: 3, MID: 4},
    "video": {
        ABS_SEND_TIME: 2,
        TRANSPORT_SEQUENCE: 3,
        MID: 4,
        PLAYOUT_DELAY: 5,
        RID: 10,
        REPAIRED_RID: 11,
        DEPENDENCY_DESCRIPTOR: 12,
        VIDEO_ORIENTATION: 13,
    },
}
"""What we understand, with the id that our own offers give it. The ids are those of Chromium's offers, so that most
packets pass a forwarder with their header extensions as they are."""

RTP_FEEDBACK: dict[Kind, tuple[str, ...]] = {
    "audio": (),
    "video": ("nack", "nack pli", "ccm fir", "goog-remb"),
}
"""With those who do not speak of the packets of the whole transport."""
TRANSPORT_WIDE = "transport-cc"
"""Instead of `goog-remb`, where a publisher offers it with its header extension; with it in what we offer."""

_FORWARDED: dict[tuple[str, int, int], tuple[Kind, str]] = {
    ("opus", 48000, 2): ("audio", "opus"),
    ("pcmu", 8000, 1): ("audio", "PCMU"),
    ("pcma", 8000, 1): ("audio", "PCMA"),
    ("vp8", 90000, 1): ("video", "VP8"),
    ("vp9", 90000, 1): ("video", "VP9"),
    ("h264", 90000, 1): ("video", "H264"),
    ("av1", 90000, 1): ("video", "AV1"),
}
_STATIC = {"0": "PCMU/8000", "8": "PCMA/8000"}
_RTPMAP = re.compile(r"([0-9]{1,3}) +([A-Za-z0-9!#$%&'*+\-.^_`{|}~]{1,32})/([0-9]{1,6})(?:/([0-9]{1,2}))?")
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_PARAMETER_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e]{0,512}")
_PROFILE_LEVEL_ID = re.compile(r"[0-9A-Fa-f]{6}")
_DEFAULT_PROFILE_LEVEL_ID = "42000a"
_MAX_PARAMETERS = 32


def offered_codecs(section: MediaSection) -> tuple[Codec, ...]:
    """The codecs of an m-line that can be forwarded, in the order of the m-line, each with its rtx payload type.

    `feedback` is all that the m-line names for it.

    Raises:
        SdpError: an rtpmap or a payload type that breaks the grammar.
    """
    rtpmaps = {
        str(payload_type): f"{name}/{rest}"
        for payload_type, name, rest in map(_rtpmap, section.attributes.all("rtpmap"))
    }
    formats = dict(_numbered(value) for value in section.attributes.all("fmtp"))
    feedback: dict[str, list[str]] = {}
    for value in section.attributes.all("rtcp-fb"):
        payload, _, what = value.partition(" ")
        feedback.setdefault(payload, []).append(" ".join(what.split()))
    rtx: dict[str, int] = {}
    codecs: list[tuple[str, Codec]] = []
    for payload in dict.fromkeys(section.formats):
        payload_type = number(payload, 127)
        if payload_type is None:
            raise invalid(f"The m-line has the payload type {payload[:16]!r}, which is no number up to 127.")
        encoding = rtpmaps.get(payload) or _STATIC.get(payload)
        if encoding is None:
            continue
        parameters = parse_parameters(formats.get(payload, ""))
        if encoding.lower() == "rtx/90000":
            rtx.setdefault(dict(parameters).get("apt", ""), payload_type)
            continue
        told = tuple(dict.fromkeys(feedback.get("*", []) + feedback.get(payload, [])))
        codec = _codec(section.kind, payload_type, encoding, parameters, told)
        if codec is not None:
            codecs.append((payload, codec))
    return tuple(_with_rtx(codec, rtx.get(payload)) for payload, codec in codecs)


def _with_rtx(codec: Codec, rtx: int | None) -> Codec:
    return Codec(
        codec.payload_type, codec.name, codec.clock_rate, codec.channels, codec.parameters, codec.feedback, rtx
    )


def _rtpmap(value: str) -> tuple[int, str, str]:
    match = _RTPMAP.fullmatch(value)
    if match is None or int(match[1]) > 127:
        raise invalid(f"The rtpmap {value[:64]!r} cannot be read.")
    return int(match[1]), match[2], match[3] if match[4] is None else f"{match[3]}/{match[4]}"


def _numbered(value: str) -> tuple[str, str]:
    payload, _, rest = value.partition(" ")
    return payload, rest


def _codec(
    kind: str, payload_type: int, encoding: str, parameters: tuple[tuple[str, str], ...], feedback: tuple[str, ...]
) -> Codec | None:
    name, clock_rate, channels, *_ = (*encoding.split("/"), "1")
    known = _FORWARDED.get((name.lower(), int(clock_rate), int(channels)))
    if known is None or known[0] != kind:
        return None
    codec = Codec(payload_type, known[1], int(clock_rate), int(channels), parameters, feedback)
    if codec.name == "H264" and dict(parameters).get("packetization-mode", "0") != "1":
        return None
    if codec.name == "H264" and h264_profile(codec) == "other":
        return None
    return codec


def parse_parameters(text: str) -> tuple[tuple[str, str], ...]:
    """`a=1;b=2` to pairs. What does not fit the grammar, or a parameter too many, is left out."""
    pairs: list[tuple[str, str]] = []
    for part in text.split(";", _MAX_PARAMETERS)[:_MAX_PARAMETERS]:
        name, _, value = part.strip().partition("=")
        if _PARAMETER_NAME.fullmatch(name) and _PARAMETER_VALUE.fullmatch(value):
            pairs.append((name.lower(), value))
    return tuple(pairs)


def parameters_text(codec: Codec) -> str:
    return ";".join(f"{name}={value}" if value else name for name, value in codec.parameters)


def offered_extensions(values: Iterable[str], kind: Kind) -> dict[str, int]:
    """URI to id of those header extensions that we understand. Ids above 14 need a two-byte header and are left out;
    of an id or a URI given twice the first counts."""
    known = EXTENSIONS[kind]
    taken: dict[str, int] = {}
    for value in values:
        identifier, _, rest = value.partition(" ")
        uri = rest.split(" ", 1)[0]
        number_ = number(identifier.partition("/")[0], 14)
        if number_ and uri in known and uri not in taken and number_ not in taken.values():
            taken[uri] = number_
    return taken


def h264_profile(codec: Codec) -> str:
    """Name of the H.264 profile (RFC 6184 table 5), or "other" for those that are not forwarded."""
    identifier = dict(codec.parameters).get("profile-level-id", _DEFAULT_PROFILE_LEVEL_ID)
    if not _PROFILE_LEVEL_ID.fullmatch(identifier):
        return "other"
    profile, constraints = int(identifier[:2], 16), int(identifier[2:4], 16)
    if profile == 0x42:
        return "constrained-baseline" if constraints & 0x40 else "baseline"
    if profile == 0x4D:
        return "constrained-baseline" if constraints & 0x80 else "main"
    if profile == 0x64:
        return "constrained-high" if constraints & 0x0C == 0x0C else "high"
    return "other"


_DECODES: Mapping[str, frozenset[str]] = {
    "constrained-baseline": frozenset({"constrained-baseline"}),
    "baseline": frozenset({"baseline", "constrained-baseline"}),
    "main": frozenset({"main", "constrained-baseline"}),
    "constrained-high": frozenset({"constrained-high", "constrained-baseline"}),
    "high": frozenset({"high", "constrained-high", "main", "constrained-baseline"}),
}


def configuration(codec: Codec) -> tuple[str, ...]:
    """What makes two payload types of one bundle the same."""
    parameters = dict(codec.parameters)
    if codec.name == "H264":
        return codec.name, parameters.get("profile-level-id", _DEFAULT_PROFILE_LEVEL_ID).lower()
    if codec.name == "VP9":
        return codec.name, parameters.get("profile-id", "0")
    if codec.name == "AV1":
        return codec.name, parameters.get("profile", "0")
    return codec.name, str(codec.clock_rate), str(codec.channels)


def can_decode(receiver: Codec, sent: Codec) -> bool:
    """Whether a receiver that names `receiver` can take a stream that was named `sent`."""
    if receiver.name != sent.name:
        return False
    if sent.name == "H264":
        return h264_profile(sent) in _DECODES.get(h264_profile(receiver), frozenset())
    if sent.name in ("VP9", "AV1"):
        return configuration(receiver) == configuration(sent)
    return (receiver.clock_rate, receiver.channels) == (sent.clock_rate, sent.channels)


def best_match(receivers: Iterable[Codec], sent: Codec) -> Codec | None:
    """The receiver's payload type for a stream: the same configuration first, then whatever can decode it."""
    able = [codec for codec in receivers if can_decode(codec, sent)]
    if sent.name == "H264":
        able.sort(key=lambda codec: h264_profile(codec) != h264_profile(sent))
    return able[0] if able else None
