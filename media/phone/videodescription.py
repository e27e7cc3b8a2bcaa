"""The m-line of pictures: H.264 (RFC 6184), with keys and requests for key frames as it says. Pure.

Of an offer the first H.264 payload type in packetization mode 1 is taken, else the first in mode 0. A call whose
pictures cannot be agreed has none: that is no reason to refuse it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from media.codecmatch import h264_profile, parse_parameters
from media.phone import sdes
from media.phone.mediasection import (
    Keys,
    NotAcceptable,
    Section,
    accepted_keys,
    answered_keys,
    mirrored,
    read_section,
    rtpmaps,
    usable,
)
from media.phone.messages import Direction, Profile
from media.phone.sourcelock import Address
from media.rtpparameters import Codec
from media.sdp import Description, MediaSection, number

CLOCK_RATE = 90_000
PROFILE_LEVEL_ID = "42e01f"
"""Constrained baseline, level 3.1: what browsers and cameras of ours send and every phone decodes."""
PAYLOAD_TYPE, SINGLE_PAYLOAD_TYPE = 97, 98
MAX_FORMATS = 64


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type of H.264."""

    payload_type: int
    profile_level_id: str
    fragments: bool
    """Packetization mode 1: units in pieces and several in one packet. Else one unit in each packet (mode 0)."""


OURS = (Format(PAYLOAD_TYPE, PROFILE_LEVEL_ID, True), Format(SINGLE_PAYLOAD_TYPE, PROFILE_LEVEL_ID, False))


@dataclass(frozen=True, slots=True)
class RemoteVideo:
    index: int
    section: Section
    formats: tuple[Format, ...]


@dataclass(frozen=True, slots=True)
class VideoAgreement:
    """What both sides said yes to."""

    sending: Format
    formats: tuple[Format, ...]
    """All that may come."""
    address: Address | None
    control: Address | None
    mux: bool
    ours: sdes.Crypto | None
    theirs: sdes.Crypto | None
    direction: Direction
    """Ours."""


def read(described: Description) -> RemoteVideo | None:
    """None: no m-line of H.264 that is switched on."""
    index = usable(described, "video")
    if index is None:
        return None
    section = described.media[index]
    formats = _formats(section)
    return RemoteVideo(index, read_section(described, section), formats) if formats else None


def _formats(section: MediaSection) -> tuple[Format, ...]:
    maps, parameters = rtpmaps(section), {}
    for value in section.attributes.all("fmtp"):
        form, _, rest = value.partition(" ")
        parameters[form] = dict(parse_parameters(rest))
    found = []
    for form in section.formats[:MAX_FORMATS]:
        payload_type = number(form, 127)
        if payload_type is None or maps.get(form, [""])[:2] != ["h264", str(CLOCK_RATE)]:
            continue
        own = parameters.get(form, {})
        told, mode = own.get("profile-level-id", "42000a").lower(), own.get("packetization-mode", "0")
        known = h264_profile(Codec(payload_type, "H264", CLOCK_RATE, 1, (("profile-level-id", told),))) != "other"
        if known and mode in ("0", "1"):
            found.append(Format(payload_type, told, mode == "1"))
    return tuple(found)


def wanted(sound: Direction) -> Direction:
    """Pictures while the sound goes this way: none on hold."""
    return "sendrecv" if sound == "sendrecv" else "inactive"


def answer(remote: RemoteVideo, profile: Profile, sound: Direction, before: Keys | None) -> VideoAgreement | None:
    """What is agreed by our answer; None: the m-line is refused."""
    chosen = next((each for each in remote.formats if each.fragments), remote.formats[0])
    try:
        ours, theirs = answered_keys(remote.section, profile, before)
    except NotAcceptable:
        return None
    return _agreement(remote.section, chosen, (chosen,), ours, theirs, sound)


def accept(
    remote: RemoteVideo | None, profile: Profile, cryptos: Sequence[sdes.Crypto], sound: Direction
) -> VideoAgreement | None:
    """What their answer to our offer agrees to; None: no pictures."""
    if remote is None:
        return None
    try:
        ours, theirs = accepted_keys(remote.section, profile, cryptos)
    except NotAcceptable:
        return None
    taken = {each.payload_type for each in remote.formats}
    formats = remote.formats + tuple(each for each in OURS if each.payload_type not in taken)
    return _agreement(remote.section, remote.formats[0], formats, ours, theirs, sound)


def _agreement(
    section: Section, sending: Format, formats: tuple[Format, ...], ours: sdes.Crypto | None,
    theirs: sdes.Crypto | None, sound: Direction,
) -> VideoAgreement:  # fmt: skip
    return VideoAgreement(
        sending=sending,
        formats=formats,
        address=section.address,
        control=section.address if section.mux else section.control,
        mux=section.mux,
        ours=ours,
        theirs=theirs,
        direction=mirrored(section.direction, wanted(sound)),
    )


def lines(
    port: int, formats: Sequence[Format], direction: Direction, cryptos: Sequence[sdes.Crypto], *, protocol: str,
    mux: bool,
) -> list[str]:  # fmt: skip
    """Our m-line, in an offer or an answer."""
    made = [f"m=video {port} {protocol} {' '.join(str(each.payload_type) for each in formats)}"]
    for each in formats:
        mode = 1 if each.fragments else 0
        made += [
            f"a=rtpmap:{each.payload_type} H264/{CLOCK_RATE}",
            f"a=fmtp:{each.payload_type} profile-level-id={each.profile_level_id};packetization-mode={mode}",
        ]
    made += ["a=rtcp-fb:* nack pli", "a=rtcp-fb:* ccm fir", f"a={direction}", f"a=rtcp:{port + 1}"]
    if mux:
        made.append("a=rtcp-mux")
    return made + [crypto.line() for crypto in cryptos]
