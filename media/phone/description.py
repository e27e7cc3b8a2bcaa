"""Session descriptions of phones: what is read of the other side's, and ours (RFC 3264, RFC 4566, RFC 4568). Pure.

One m-line of sound is used, the first that can be, and one of pictures (`videodescription.py`) where we have ports for
it; every other m-line of an offer is answered with port 0. What is agreed is an `Agreement`, all that a leg needs to
know.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from media.phone import sdes, videodescription
from media.phone.codecs import SPECS
from media.phone.mediasection import (
    NotAcceptable,
    Section,
    accepted_keys,
    answered_keys,
    mirrored,
    read_section,
    rtpmaps,
    usable,
)
from media.phone.messages import CodecName, Direction, Profile
from media.phone.sourcelock import Address
from media.phone.videodescription import RemoteVideo, VideoAgreement
from media.sdp import MediaSection, SdpError, number, parse, write

DTMF_PAYLOAD_TYPE = 101
DTMF_48K_PAYLOAD_TYPE = 100
COMFORT_NOISE = 13
_STATIC = {spec.payload_type: name for name, spec in SPECS.items() if name != "opus"}


@dataclass(frozen=True, slots=True)
class Payload:
    """One codec and its payload type."""

    payload_type: int
    codec: CodecName


@dataclass(frozen=True, slots=True)
class Local:
    """Our end of a leg."""

    address: str
    port: int
    control_port: int
    session_id: int
    video_port: int = 0
    """0: no pictures."""


@dataclass(frozen=True, slots=True)
class Remote:
    """What the other side's description says."""

    index: int
    """Of its sound m-line."""
    media: tuple[MediaSection, ...]
    section: Section
    payloads: tuple[Payload, ...]
    events: tuple[tuple[int, int], ...]
    """Payload types of telephone events, and their clock rates."""
    noise: bool
    """Comfort noise (payload type 13)."""
    video: RemoteVideo | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides said yes to."""

    sending: Payload
    payloads: tuple[Payload, ...]
    """All that may come."""
    events: tuple[int, int] | None
    """Payload type and clock rate."""
    noise: bool
    address: Address | None
    control: Address | None
    mux: bool
    secure: bool
    """RTP/SAVP."""
    ours: sdes.Crypto | None
    theirs: sdes.Crypto | None
    direction: Direction
    """Ours."""
    layout: tuple[MediaSection, ...] = ()
    """Their m-lines: later offers of ours have the same, in the same order (RFC 3264 section 8)."""
    index: int = 0
    """Of the sound."""
    video: VideoAgreement | None = None
    video_index: int | None = None


# --- the other side's ------------------------------------------------------------------------------------------------


def read(text: str) -> Remote:
    """Raises:
    SdpError: it is no description.
    NotAcceptable: it has no sound m-line that we can use.
    """
    described = parse(text)
    index = usable(described, "audio")
    if index is None:
        raise NotAcceptable("The description has no m-line of sound over RTP.")
    section = described.media[index]
    payloads, events = _formats(section)
    return Remote(
        index=index,
        media=described.media,
        section=read_section(described, section),
        payloads=payloads,
        events=events,
        noise=str(COMFORT_NOISE) in section.formats,
        video=videodescription.read(described),
    )


def _formats(section: MediaSection) -> tuple[tuple[Payload, ...], tuple[tuple[int, int], ...]]:
    maps = rtpmaps(section)
    payloads: list[Payload] = []
    events: list[tuple[int, int]] = []
    for form in section.formats[:64]:
        payload_type = number(form, 127)
        if payload_type is None:
            continue
        encoding = maps.get(form)
        if encoding is None:
            if payload_type in _STATIC:
                payloads.append(Payload(payload_type, _STATIC[payload_type]))
        elif encoding[0] == "telephone-event":
            rate = number(encoding[1], 192000) if len(encoding) > 1 else 8000
            if rate in (8000, 48000):
                events.append((payload_type, rate))
        elif (name := _named(encoding)) is not None:
            payloads.append(Payload(payload_type, name))
    return tuple(payloads), tuple(events)


def _named(encoding: Sequence[str]) -> CodecName | None:
    for name, spec in SPECS.items():
        if encoding[0] == name.lower() and encoding[1:2] == [str(spec.clock_rate)]:
            return name
    return None


# --- ours ------------------------------------------------------------------------------------------------------------


def offer(
    local: Local,
    version: int,
    profile: Profile,
    direction: Direction,
    cryptos: Sequence[sdes.Crypto],
    payloads: Sequence[Payload],
    before: Agreement | None = None,
    video_cryptos: Sequence[sdes.Crypto] = (),
) -> str:
    """Our offer. `payloads` of an earlier agreement keep their payload types, and it stays RTP/SAVP if it was."""
    events = _our_events(payloads)
    secure = profile.srtp == "require" if before is None else before.secure
    mux = before is None or before.mux
    sound = _media_lines(local, profile, payloads, events, direction, secure=secure, mux=mux)
    sound += [crypto.line() for crypto in cryptos]
    lines = _session_lines(local, version)
    if before is None:
        lines += sound
        if local.video_port:
            lines += videodescription.lines(
                local.video_port, videodescription.OURS, videodescription.wanted(direction), video_cryptos,
                protocol="RTP/SAVP" if secure else "RTP/AVP", mux=True,
            )  # fmt: skip
        return write(lines)
    for index, section in enumerate(before.layout):
        if index == before.index:
            lines += sound
        elif index == before.video_index and before.video is not None:
            keys = (before.video.ours,) if before.video.ours is not None else ()
            lines += videodescription.lines(
                local.video_port, before.video.formats, videodescription.wanted(direction), keys,
                protocol=section.protocol, mux=before.video.mux,
            )  # fmt: skip
        else:
            lines.append(_refused(section))
    return write(lines)


def _refused(section: MediaSection) -> str:
    return f"m={section.kind} 0 {section.protocol} {' '.join(section.formats)}"


def our_payloads(profile: Profile) -> tuple[Payload, ...]:
    return tuple(Payload(SPECS[name].payload_type, name) for name in dict.fromkeys(profile.codecs))


def our_cryptos(profile: Profile) -> tuple[sdes.Crypto, ...]:
    """For an offer; the suite with the short tag is taken, never offered."""
    if profile.srtp == "off":
        return ()
    return tuple(sdes.new(tag + 1, suite) for tag, suite in enumerate(sdes.SUITES[:3]))


def _our_events(payloads: Sequence[Payload]) -> tuple[tuple[int, int], ...]:
    rates = dict.fromkeys(SPECS[each.codec].clock_rate for each in payloads)
    taken = {each.payload_type for each in payloads}
    events = {8000: DTMF_PAYLOAD_TYPE, 48000: DTMF_48K_PAYLOAD_TYPE}
    free = iter(number for number in range(96, 128) if number not in taken and number not in events.values())
    return tuple((events[rate] if events[rate] not in taken else next(free), rate) for rate in rates)


def _session_lines(local: Local, version: int) -> list[str]:
    kind = _kind(local.address)
    return [
        "v=0",
        f"o=- {local.session_id} {version} IN {kind} {local.address}",
        "s=-",
        f"c=IN {kind} {local.address}",
        "t=0 0",
    ]


def _kind(address: str) -> str:
    return "IP6" if ":" in address else "IP4"


def _media_lines(
    local: Local,
    profile: Profile,
    payloads: Sequence[Payload],
    events: Sequence[tuple[int, int]],
    direction: Direction,
    *,
    secure: bool,
    mux: bool,
    protocol: str = "",
) -> list[str]:
    formats = [str(each.payload_type) for each in payloads] + [str(payload_type) for payload_type, _ in events]
    lines = [f"m=audio {local.port} {protocol or ('RTP/SAVP' if secure else 'RTP/AVP')} {' '.join(formats)}"]
    for each in payloads:
        spec = SPECS[each.codec]
        channels = f"/{spec.channels}" if spec.channels > 1 else ""
        lines.append(f"a=rtpmap:{each.payload_type} {each.codec}/{spec.clock_rate}{channels}")
        if each.codec == "opus":
            lines.append(f"a=fmtp:{each.payload_type} maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1")
    for payload_type, rate in events:
        lines += [f"a=rtpmap:{payload_type} telephone-event/{rate}", f"a=fmtp:{payload_type} 0-15"]
    lines += [f"a=ptime:{profile.ptime_ms}", f"a={direction}", f"a=rtcp:{local.control_port}"]
    if mux:
        lines.append("a=rtcp-mux")
    return lines


# --- both together ---------------------------------------------------------------------------------------------------


def answer(
    remote: Remote, local: Local, version: int, profile: Profile, wanted: Direction, before: Agreement | None = None
) -> tuple[str, Agreement]:
    """Our answer to an offer, and what is agreed by it. One codec is taken: the first of theirs that the profile has.

    Raises:
        NotAcceptable: no codec in common, or encryption refused or missing.
    """
    chosen = next((each for each in remote.payloads if each.codec in profile.codecs), None)
    if chosen is None:
        raise NotAcceptable("The offer has no codec that we may use.")
    ours, theirs = answered_keys(remote.section, profile, before)
    direction = mirrored(remote.section.direction, wanted)
    video = None
    if remote.video is not None and local.video_port:
        keys = before.video if before is not None else None
        video = videodescription.answer(remote.video, profile, wanted, keys)
    agreement = _agreement(remote, chosen, (chosen,), (ours, theirs), direction, video)
    lines = _session_lines(local, version)
    for index, section in enumerate(remote.media):
        if index == remote.index:
            events = (agreement.events,) if agreement.events else ()
            lines += _media_lines(
                local, profile, agreement.payloads, events, agreement.direction,
                secure=agreement.secure, mux=agreement.mux, protocol=section.protocol,
            )  # fmt: skip
            if ours is not None:
                lines.append(ours.line())
        elif video is not None and index == agreement.video_index:
            keys_of = (video.ours,) if video.ours is not None else ()
            lines += videodescription.lines(
                local.video_port, video.formats, video.direction, keys_of, protocol=section.protocol, mux=video.mux
            )
        else:
            lines.append(_refused(section))
    return write(lines), agreement


def _agreement(
    remote: Remote, sending: Payload, payloads: tuple[Payload, ...],
    keys: tuple[sdes.Crypto | None, sdes.Crypto | None], direction: Direction, video: VideoAgreement | None,
) -> Agreement:  # fmt: skip
    section = remote.section
    return Agreement(
        sending=sending,
        payloads=payloads,
        events=_fitting(remote.events, sending),
        noise=remote.noise,
        address=section.address,
        control=section.address if section.mux else section.control,
        mux=section.mux,
        secure=section.secure,
        ours=keys[0],
        theirs=keys[1],
        direction=direction,
        layout=remote.media,
        index=remote.index,
        video=video,
        video_index=remote.video.index if video is not None and remote.video is not None else None,
    )


def accept(
    remote: Remote, profile: Profile, cryptos: Sequence[sdes.Crypto], payloads: Sequence[Payload], offered: Direction,
    video_cryptos: Sequence[sdes.Crypto] | None = None,
) -> Agreement:  # fmt: skip
    """What their answer to our offer agrees to. `video_cryptos` None: no pictures were offered.

    Raises:
        NotAcceptable: it has nothing that we offered, or encryption is missing.
    """
    # An answer should repeat our payload types; where it has others, they are what it wants to get (RFC 3264 6.1).
    offered_names = {each.codec for each in payloads}
    agreed = tuple(each for each in remote.payloads if each.codec in offered_names)
    if not agreed:
        raise NotAcceptable("The answer has no codec that was offered.")
    keys = accepted_keys(remote.section, profile, cryptos)
    video = None
    if video_cryptos is not None:
        video = videodescription.accept(remote.video, profile, video_cryptos, offered)
    taken = {each.payload_type for each in agreed}
    further = tuple(each for each in payloads if each.payload_type not in taken)
    direction = mirrored(remote.section.direction, offered)
    return _agreement(remote, agreed[0], agreed + further, keys, direction, video)


def _fitting(events: Sequence[tuple[int, int]], payload: Payload) -> tuple[int, int] | None:
    """Telephone events with the clock of the codec, else any."""
    clock_rate = SPECS[payload.codec].clock_rate
    return next((each for each in events if each[1] == clock_rate), events[0] if events else None)


__all__ = ["Agreement", "Local", "NotAcceptable", "Payload", "Remote", "SdpError", "accept", "answer", "offer", "read"]
