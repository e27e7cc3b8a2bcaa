"""Finds ONVIF cameras of the network (WS-Discovery) and asks one for its streams.

A camera's address comes from people or from whoever answers a probe, so each one passes the rule of
`media/ingest/address.py` before anything is sent to it: a name is resolved once, the connection goes to exactly that
address, and no redirection is followed. The password goes to that address only, as a digest.
"""

import asyncio
import contextlib
import datetime
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit, urlunsplit

import aiohttp
import ifaddr

from media.ingest import onvif
from media.ingest.address import Address, AddressRefused, Policy, check_address, choose, masked, parse_url
from media.ingest.onvif import Login, Match, OnvifError, Profile

MAX_MATCHES = 256
ANSWER_S = 5.0
PROBE_S = 20.0
"""For all questions to one camera."""
Resolve = Callable[[str], Awaitable[Sequence[str]]]


class CameraUnreachable(Exception):
    """Nobody there who speaks ONVIF; the message says how far it came."""


@dataclass(frozen=True, slots=True)
class Stream:
    profile: Profile
    url: str
    """RTSP, without a password; "" where it is refused."""
    refused: str = ""
    """Why its address may not be fetched."""


@dataclass(frozen=True, slots=True)
class Camera:
    """What one camera says of itself."""

    manufacturer: str
    model: str
    firmware: str
    clock_off_s: float
    """Its clock less ours."""
    streams: tuple[Stream, ...]
    main: Stream | None
    sub: Stream | None


async def discover(policy: Policy, seconds: float, target: tuple[str, int] = onvif.DISCOVERY) -> list[Match]:
    """Everybody who answers within this time. Addresses that the policy refuses are left out of the answers."""
    message = str(uuid.uuid4())
    found: dict[str, Match] = {}

    class Ear(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            with contextlib.suppress(OnvifError):
                for match in onvif.matches(data, message):
                    allowed = tuple(one for one in match.addresses if _allowed(one, policy))
                    if allowed and len(found) < MAX_MATCHES:
                        found[match.endpoint or allowed[0]] = Match(
                            match.endpoint, allowed, match.name, match.hardware, match.location
                        )

    loop = asyncio.get_running_loop()
    opened: list[asyncio.DatagramTransport] = []
    try:
        for local in _interfaces(target[0]):
            with contextlib.suppress(OSError):  # an interface that went down
                transport, _ = await loop.create_datagram_endpoint(Ear, local_addr=(local, 0))
                opened.append(transport)
                if ip_address(target[0]).is_multicast:
                    sock: socket.socket = transport.get_extra_info("socket")
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(local))
        for wait in (seconds / 3, seconds * 2 / 3):  # asked twice: datagrams get lost
            for transport in opened:
                transport.sendto(onvif.probe(message), target)
            await asyncio.sleep(wait)
    finally:
        for transport in opened:
            transport.close()
    return sorted(found.values(), key=lambda match: match.addresses)


def _interfaces(target: str) -> list[str]:
    """Own IPv4 addresses to ask from."""
    own = [str(each.ip) for adapter in ifaddr.get_adapters() for each in adapter.ips if each.is_IPv4]
    if ip_address(target).is_loopback:
        return ["127.0.0.1"]
    return [each for each in own if not ip_address(each).is_loopback]


def _allowed(url: str, policy: Policy) -> bool:
    try:
        check_address(_service(url).hostname or "", policy)
    except AddressRefused:
        return False
    return True


def _service(url: str) -> SplitResult:
    """Raises:
    AddressRefused: no URL of a service.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(f"The address {masked(url)} cannot be read.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.username is not None:
        raise AddressRefused("The address of a device service begins with http:// or https:// and has no user in it.")
    return parts


async def resolve(host: str) -> list[str]:
    """Addresses of a name.

    Raises:
        CameraUnreachable: it has none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CameraUnreachable(f"The name {host} has no address.") from error
    return [str(each[4][0]) for each in found]


class _Asker:
    """Questions to one camera at one checked address."""

    def __init__(self, http: aiohttp.ClientSession, address: Address, login: Login) -> None:
        self._http = http
        self._address = address
        self.login = login
        self.ahead_s = 0.0
        """The camera's clock less ours."""

    def at(self, url: str) -> str:
        """The URL of a service of the camera, at the address that was checked, whatever it calls itself."""
        parts = _service(url)
        host = f"[{self._address}]" if self._address.version == 6 else str(self._address)
        return urlunsplit(parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host))

    async def ask(self, url: str, body: str, *, secret: bool = True) -> bytes:
        """Raises:
        OnvifError: the answer is none.
        CameraUnreachable: there is no answer.
        """
        at = datetime.datetime.fromtimestamp(time.time() + self.ahead_s, datetime.UTC)
        created = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
        sent = onvif.request(body, self.login if secret else None, os.urandom(16), created)
        headers = {"Content-Type": "application/soap+xml; charset=utf-8"}
        try:
            async with self._http.post(url, data=sent, headers=headers, allow_redirects=False, ssl=False) as answer:
                data = await answer.content.read(onvif.MAX_ANSWER_BYTES + 1)
                while len(data) <= onvif.MAX_ANSWER_BYTES and (more := await answer.content.read(65536)):
                    data += more
                if answer.status in (401, 403):
                    raise OnvifError("The camera refuses: wrong name or password.")
                if answer.status not in (200, 400, 500):  # SOAP tells faults by 400 and 500
                    raise OnvifError(f"The address answers {answer.status} to a question of ONVIF.")
                return data
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise CameraUnreachable(f"No answer from {masked(url)}: {str(error) or 'it took too long'}.") from error


async def look(url: str, user: str, password: str, policy: Policy, resolved: Resolve = resolve) -> Camera:
    """Ask the device service at this URL.

    Raises:
        AddressRefused: the address is not one of a camera by the settings.
        CameraUnreachable: no answer.
        OnvifError: an answer that is a refusal, or no ONVIF.
    """
    parts = _service(url)
    address = choose(await resolved(parts.hostname or ""), policy)
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        async with asyncio.timeout(PROBE_S), aiohttp.ClientSession(timeout=timeout, trust_env=False) as http:
            return await _look(_Asker(http, address, Login(user, password)), url, policy)
    except TimeoutError as error:
        raise CameraUnreachable(f"The camera took more than {PROBE_S:.0f} s for its answers.") from error


async def _look(asker: _Asker, url: str, policy: Policy) -> Camera:
    service = asker.at(url)
    with contextlib.suppress(OnvifError):  # many tell it only to who is logged in
        asker.ahead_s = onvif.clock(await asker.ask(service, onvif.GET_CLOCK, secret=False)) - time.time()
    manufacturer, model, firmware = onvif.device(await asker.ask(service, onvif.GET_DEVICE))
    media = asker.at(onvif.media_service(await asker.ask(service, onvif.GET_SERVICES)))
    found = onvif.profiles(await asker.ask(media, onvif.GET_PROFILES))
    streams = []
    for profile in found:
        told = onvif.stream_address(await asker.ask(media, onvif.get_stream(profile.token)))
        streams.append(_stream(profile, told, policy))
    by_profile = {stream.profile: stream for stream in streams if stream.url}
    main, sub = onvif.streams_of(tuple(by_profile))
    return Camera(
        manufacturer, model, firmware, round(asker.ahead_s, 1), tuple(streams),
        by_profile.get(main) if main else None, by_profile.get(sub) if sub else None,
    )  # fmt: skip


def _stream(profile: Profile, told: str, policy: Policy) -> Stream:
    """An address that a camera tells is no better than one that a person tells."""
    try:
        parts = parse_url(told)
        with contextlib.suppress(ValueError):  # a name is looked at when it is fetched
            ip_address((parts.hostname or "").partition("%")[0])
            check_address(parts.hostname or "", policy)
    except AddressRefused as error:
        return Stream(profile, "", str(error))
    host = parts.netloc.rpartition("@")[2]
    return Stream(profile, urlunsplit(parts._replace(netloc=host)))
