"""Session descriptions of phones: what is read of the other side's, and ours (RFC 3264, RFC 4566, RFC 4568). Pure.

One sound m-line is used, the first that can be; every other m-line of an offer is answered with port 0. What is agreed
is an `Agreement`, all that a leg needs to know.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from media.phone import sdes
from media.phone.codecs import SPECS
from media.phone.messages import CodecName, Direction, Profile
from media.phone.sourcelock import Address
from media.sdp import Description, MediaSection, SdpError, number, parse, write

PLAIN, SECURE = ("RTP/AVP", "RTP/AVPF"), ("RTP/SAVP", "RTP/SAVPF")
DTMF_PAYLOAD_TYPE = 101
DTMF_48K_PAYLOAD_TYPE = 100
COMFORT_NOISE = 13
_STATIC = {spec.payload_type: name for name, spec in SPECS.items() if name != "opus"}
_DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")


class NotAcceptable(Exception):
    """Nothing in the description that we can do (SIP 488)."""


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


@dataclass(frozen=True, slots=True)
class Remote:
    """What the other side's description says."""

    index: int
    """Of its sound m-line."""
    media: tuple[MediaSection, ...]
    address: Address | None
    """None: port 0 or no address."""
    control: Address | None
    mux: bool
    payloads: tuple[Payload, ...]
    events: tuple[tuple[int, int], ...]
    """Payload types of telephone events, and their clock rates."""
    noise: bool
    """Comfort noise (payload type 13)."""
    cryptos: tuple[sdes.Crypto, ...]
    secure: bool
    """RTP/SAVP: it must be encrypted."""
    direction: Direction
    """As it said, seen from its side."""


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


# --- the other side's ------------------------------------------------------------------------------------------------


def read(text: str) -> Remote:
    """Raises:
    SdpError: it is no description.
    NotAcceptable: it has no sound m-line that we can use.
    """
    described = parse(text)
    usable = (
        index
        for index, section in enumerate(described.media)
        if section.kind == "audio" and section.port and section.protocol in PLAIN + SECURE
    )
    index = next(usable, None)
    if index is None:
        raise NotAcceptable("The description has no m-line of sound over RTP.")
    return _remote(described, index)


def _remote(described: Description, index: int) -> Remote:
    section = described.media[index]
    host = _host(section.attributes.connection or described.attributes.connection)
    zero = host is not None and ip_address(host).is_unspecified
    address = (host, section.port) if host is not None and not zero else None
    payloads, events = _formats(section)
    direction = _direction(section) or _direction(described) or "sendrecv"
    if zero and direction in ("sendrecv", "recvonly"):  # c=0.0.0.0 is how RFC 2543 said hold: it hears nothing
        direction = "sendonly" if direction == "sendrecv" else "inactive"
    return Remote(
        index=index,
        media=described.media,
        address=address,
        control=_control(section, address),
        mux="rtcp-mux" in section.attributes,
        payloads=payloads,
        events=events,
        noise=str(COMFORT_NOISE) in section.formats,
        cryptos=sdes.read(section),
        secure=section.protocol in SECURE,
        direction=direction,
    )


def _host(connection: str) -> str | None:
    """`IN IP4 192.0.2.1`: addresses only, names are not looked up."""
    parts = connection.split()
    if len(parts) != 3 or parts[0] != "IN":
        return None
    try:
        address = ip_address(parts[2].partition("/")[0])
    except ValueError:
        return None
    return None if address.is_multicast else str(address)


def _control(section: MediaSection, address: Address | None) -> Address | None:
    if address is None:
        return None
    told = (section.attributes.first("rtcp") or "").split()
    port = number(told[0], 65535) if told else None
    return (address[0], port or min(65535, address[1] + 1))


def _direction(level: MediaSection | Description) -> Direction | None:
    return next((each for each in _DIRECTIONS if each in level.attributes), None)


def _formats(section: MediaSection) -> tuple[tuple[Payload, ...], tuple[tuple[int, int], ...]]:
    maps = {}
    for value in section.attributes.all("rtpmap"):
        form, _, mapped = value.partition(" ")
        maps[form] = mapped.strip().lower().split("/")
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
) -> str:
    """Our offer. `payloads` of an earlier agreement keep their payload types, and it stays RTP/SAVP if it was."""
    events = _our_events(payloads)
    secure = profile.srtp == "require" if before is None else before.secure
    mux = before is None or before.mux
    lines = _session_lines(local, version)
    lines += _media_lines(local, profile, payloads, events, direction, secure=secure, mux=mux)
    lines += [crypto.line() for crypto in cryptos]
    return write(lines)


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
    theirs = remote.cryptos[0] if remote.cryptos and profile.srtp != "off" else None
    if theirs is None and (remote.secure or profile.srtp == "require"):
        raise NotAcceptable(
            "The offer wants encryption that we may not use."
            if profile.srtp == "off" or remote.secure
            else "The offer is not encrypted, and must be."
        )
    ours = _our_key(theirs, before)
    agreement = Agreement(
        sending=chosen,
        payloads=(chosen,),
        events=_fitting(remote.events, chosen),
        noise=remote.noise,
        address=remote.address,
        control=remote.address if remote.mux else remote.control,
        mux=remote.mux,
        secure=remote.secure,
        ours=ours,
        theirs=theirs,
        direction=mirrored(remote.direction, wanted),
    )
    lines = _session_lines(local, version)
    for index, section in enumerate(remote.media):
        if index != remote.index:
            formats = " ".join(section.formats)
            lines.append(f"m={section.kind} 0 {section.protocol} {formats}")
            continue
        events = (agreement.events,) if agreement.events else ()
        lines += _media_lines(
            local, profile, agreement.payloads, events, agreement.direction,
            secure=remote.secure, mux=remote.mux, protocol=section.protocol,
        )  # fmt: skip
        if ours is not None:
            lines.append(ours.line())
    return write(lines), agreement


def _our_key(theirs: sdes.Crypto | None, before: Agreement | None) -> sdes.Crypto | None:
    """With the same key of theirs ours stays too, so that a hold does not begin SRTP anew."""
    if theirs is None:
        return None
    if before is not None and before.ours is not None and before.theirs is not None:
        if before.theirs.same_key(theirs):
            return replace(before.ours, tag=theirs.tag)
    return sdes.new(theirs.tag, theirs.suite)


def accept(
    remote: Remote, profile: Profile, cryptos: Sequence[sdes.Crypto], payloads: Sequence[Payload], offered: Direction
) -> Agreement:
    """What their answer to our offer agrees to.

    Raises:
        NotAcceptable: it has nothing that we offered, or encryption is missing.
    """
    # An answer should repeat our payload types; where it has others, they are what it wants to get (RFC 3264 6.1).
    offered_names = {each.codec for each in payloads}
    agreed = tuple(each for each in remote.payloads if each.codec in offered_names)
    if not agreed:
        raise NotAcceptable("The answer has no codec that was offered.")
    theirs = ours = None
    for crypto in remote.cryptos:
        ours = next((each for each in cryptos if (each.tag, each.suite) == (crypto.tag, crypto.suite)), None)
        if ours is not None:
            theirs = crypto
            break
    if theirs is None and (profile.srtp == "require" or remote.secure):
        raise NotAcceptable("The answer is not encrypted, and must be.")
    return Agreement(
        sending=agreed[0],
        payloads=agreed + tuple(each for each in payloads if each.payload_type not in {a.payload_type for a in agreed}),
        events=_fitting(remote.events, agreed[0]),
        noise=remote.noise,
        address=remote.address,
        control=remote.address if remote.mux else remote.control,
        mux=remote.mux,
        secure=remote.secure,
        ours=ours,
        theirs=theirs,
        direction=mirrored(remote.direction, offered),
    )


def _fitting(events: Sequence[tuple[int, int]], payload: Payload) -> tuple[int, int] | None:
    """Telephone events with the clock of the codec, else any."""
    clock_rate = SPECS[payload.codec].clock_rate
    return next((each for each in events if each[1] == clock_rate), events[0] if events else None)


def mirrored(theirs: Direction, wanted: Direction) -> Direction:
    """What we do when they do this and we want that (RFC 3264 6.1)."""
    sends = theirs in ("sendrecv", "recvonly") and wanted in ("sendrecv", "sendonly")
    receives = theirs in ("sendrecv", "sendonly") and wanted in ("sendrecv", "recvonly")
    return "sendrecv" if sends and receives else "sendonly" if sends else "recvonly" if receives else "inactive"


__all__ = ["Agreement", "Local", "NotAcceptable", "Payload", "Remote", "SdpError", "accept", "answer", "offer", "read"]
