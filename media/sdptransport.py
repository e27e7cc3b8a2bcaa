"""The transport of a description: BUNDLE (RFC 8843), ICE (RFC 8839), DTLS (RFC 8842), and which m-lines ride on it.

One peer has one transport. A media section that is not on it cannot be served.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from media.rtpparameters import LocalTransport, RemoteTransport
from media.sdp import Description, MediaSection, invalid, is_token

_ICE_CHARACTERS = re.compile(r"[A-Za-z0-9+/]+")
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})+")
_HASH_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_PROTOCOLS = ("UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF")
_MAX_MID = 32

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(frozen=True, slots=True)
class Bundled:
    """One m-line with its place in the bundle."""

    section: MediaSection
    mid: str
    alive: bool
    """Not disabled by port 0, an RTP profile that we speak, and in the bundle."""


@dataclass(frozen=True, slots=True)
class Bundle:
    lines: tuple[Bundled, ...]
    """In the order of the m-lines."""
    order: tuple[str, ...]
    """Mids in the order of the group; the first that is accepted carries the transport."""


def bundle(description: Description) -> Bundle:
    """Raises:
    SdpError: an m-line without a mid or with another's, or several m-lines without a bundle.
    """
    mids = [_mid(section, index) for index, section in enumerate(description.media)]
    if len(set(mids)) != len(mids):
        raise invalid("Two m-lines have the same a=mid.")
    group = _group(description)
    if group is None:
        group = tuple(mid for mid, section in zip(mids, description.media, strict=True) if section.port)
        if len(group) > 1:
            raise invalid(
                "The description has several m-lines and no a=group:BUNDLE; one transport per peer is served."
            )
    members = set(group)
    lines = tuple(
        Bundled(section, mid, mid in members and _enabled(section) and section.protocol in _PROTOCOLS)
        for mid, section in zip(mids, description.media, strict=True)
    )
    return Bundle(lines, group)


def _mid(section: MediaSection, index: int) -> str:
    mid = section.attributes.first("mid")
    if mid is None or not is_token(mid, _MAX_MID):
        raise invalid(f"The m-line number {index + 1} has no a=mid of at most {_MAX_MID} token characters.")
    return mid


def _group(description: Description) -> tuple[str, ...] | None:
    for value in description.attributes.all("group"):
        semantics, *mids = value.split()
        if semantics == "BUNDLE":
            return tuple(dict.fromkeys(mids))
    return None


def _enabled(section: MediaSection) -> bool:
    return section.port != 0 or "bundle-only" in section.attributes


def direction(description: Description, section: MediaSection) -> Direction:
    for attributes in (section.attributes, description.attributes):
        for name in _DIRECTIONS:
            if name in attributes:
                return name
    return "sendrecv"


def remote_transport(description: Description, section: MediaSection, is_answer: bool) -> RemoteTransport:
    """The other end's transport, as the section that carries it tells.

    Raises:
        SdpError: no ICE credentials, no usable fingerprint, a DTLS role that leaves us the client's, no rtcp-mux.
    """
    if "ice-lite" in description.attributes:
        raise invalid("Both ends are ICE-lite: nobody would begin the connectivity checks.")

    def told(name: str) -> str:
        value = section.attributes.first(name)
        return (description.attributes.first(name) if value is None else value) or ""

    ufrag, password = told("ice-ufrag"), told("ice-pwd")
    if not (4 <= len(ufrag) <= 256 and _ICE_CHARACTERS.fullmatch(ufrag)):
        raise invalid("The description has no a=ice-ufrag of 4 to 256 ICE characters.")
    if not (22 <= len(password) <= 256 and _ICE_CHARACTERS.fullmatch(password)):
        raise invalid("The description has no a=ice-pwd of 22 to 256 ICE characters.")
    fingerprints = section.attributes.all("fingerprint") or description.attributes.all("fingerprint")
    return RemoteTransport(ufrag, password, _fingerprints(fingerprints), _setup(told("setup"), is_answer))


def _fingerprints(values: Iterable[str]) -> tuple[tuple[str, str], ...]:
    usable: list[tuple[str, str]] = []
    for value in values:
        name, _, digest = value.partition(" ")
        if _HASH_BYTES.get(name.lower(), 0) * 3 - 1 == len(digest) and _FINGERPRINT.fullmatch(digest):
            usable.append((name.lower(), digest.upper()))
    if not usable:
        raise invalid("The description has no a=fingerprint by sha-256, sha-384 or sha-512.")
    return tuple(dict.fromkeys(usable))


def _setup(value: str, is_answer: bool) -> Literal["active", "passive", "actpass"]:
    if value == "active":
        return "active"
    if is_answer:
        raise invalid("The answer has no a=setup:active; this server only takes the DTLS server's part.")
    if value in ("actpass", ""):
        return "actpass"
    raise invalid(
        f"The offer asks for a=setup:{value[:16]}; this server only takes the DTLS server's part and needs an offer of "
        "actpass or active (with ffmpeg: -whip_flags dtls_active)."
    )


def check_mux(line: Bundled) -> None:
    """Raises:
    SdpError: RTCP on a port of its own.
    """
    if "rtcp-mux" not in line.section.attributes and "rtcp-mux-only" not in line.section.attributes:
        raise invalid(f"The m-line {line.mid} has no a=rtcp-mux; RTP and RTCP share one port here.")


def session_lines(session_id: int, version: int, mids: Iterable[str], mixed_extensions: bool) -> list[str]:
    lines = ["v=0", f"o=- {session_id} {version} IN IP4 0.0.0.0", "s=-", "t=0 0", "a=ice-lite"]
    members = " ".join(mids)
    if members:
        lines.append(f"a=group:BUNDLE {members}")
    if mixed_extensions:
        lines.append("a=extmap-allow-mixed")
    lines.append("a=msid-semantic:WMS *")
    return lines


def media_lines(kind: str, protocol: str, formats: Iterable[str], local: LocalTransport) -> list[str]:
    """The m-line and the c-line: where to send before ICE has spoken."""
    address, port = local.candidates[0] if local.candidates else ("0.0.0.0", 9)
    return [f"m={kind} {port} {protocol} {' '.join(formats)}", f"c=IN {_family(address)} {address}"]


def rejected_lines(kind: str, protocol: str, formats: Iterable[str], mid: str) -> list[str]:
    return [f"m={kind} 0 {protocol} {' '.join(formats)}", "c=IN IP4 0.0.0.0", f"a=mid:{mid}", "a=inactive"]


def transport_lines(local: LocalTransport, setup: str, with_candidates: bool) -> list[str]:
    """ICE and DTLS of our end. Candidates belong to the first m-line of the bundle alone."""
    lines = [
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.password}",
        f"a=fingerprint:{local.fingerprint}",
        f"a=setup:{setup}",
    ]
    if with_candidates:
        lines += [
            f"a=candidate:{index + 1} 1 udp {_priority(index)} {address} {port} typ host"
            for index, (address, port) in enumerate(local.candidates)
        ]
        first = len(local.candidates) + 1
        lines += [
            f"a=candidate:{first + index} 1 tcp {_tcp_priority(index)} {address} {port} typ host tcptype passive"
            for index, (address, port) in enumerate(local.tcp)
        ]
        lines.append("a=end-of-candidates")
    return lines


def _family(address: str) -> str:
    return "IP6" if ":" in address else "IP4"


def _priority(index: int) -> int:
    """RFC 8445 section 5.1.2.1 for host candidates, best first."""
    return (126 << 24) | (max(65535 - index, 0) << 8) | 255


def _tcp_priority(index: int) -> int:
    """RFC 6544 section 4.2: below every UDP candidate; of the directions, passive has the preference 4 for hosts."""
    return (90 << 24) | ((4 << 13 | max(8191 - index, 0)) << 8) | 255
