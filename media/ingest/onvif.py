"""What is said to ONVIF cameras and understood of their answers. Pure.

Sources: WS-Discovery (OASIS 2005/04), SOAP 1.2, WS-Security UsernameToken Profile 1.0 (digest), ONVIF Device and Media
services of version 1.0, which every device of profile S has. Cameras differ in prefixes and in what they leave out, so
elements are found by their local names.
"""

import base64
import calendar
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

MAX_ANSWER_BYTES = 512 * 1024
MAX_PROFILES = 16
MAX_ELEMENTS = 5000
"""In one answer: each question walks the tree, some of them its branches anew."""
MAX_MATCHES = 16
"""In one answer to a probe; a device answers for itself."""
MAX_TEXT = 256
DISCOVERY = ("239.255.255.250", 3702)
_DEVICE, _MEDIA = "http://www.onvif.org/ver10/device/wsdl", "http://www.onvif.org/ver10/media/wsdl"
_SCHEMA = "http://www.onvif.org/ver10/schema"
_SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
_DIGEST = f"{_SECURITY}-username-token-profile-1.0#PasswordDigest"
_BASE64 = f"{_SECURITY}-soap-message-security-1.0#Base64Binary"


class OnvifError(Exception):
    """A camera's answer that is none, or a refusal of its own; the message says which."""


@dataclass(frozen=True, slots=True)
class Match:
    """A device that answered a probe."""

    endpoint: str
    """Its own name for itself, mostly a UUID."""
    addresses: tuple[str, ...]
    """URLs of its device service."""
    name: str
    hardware: str
    location: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A stream that a camera offers."""

    token: str
    name: str
    codec: str
    """As the camera says: H264, H265, JPEG, ...; "" = not told."""
    width: int
    height: int
    frames_per_s: float
    kbps: int


def probe(message: str) -> bytes:
    """The question to all; `message` is a UUID."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
        ' xmlns:dn="http://www.onvif.org/ver10/network/wsdl">'
        f"<e:Header><w:MessageID>uuid:{escape(message)}</w:MessageID>"
        "<w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>"
        "<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>"
        "<e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"
    ).encode()


def matches(data: bytes, message: str) -> tuple[Match, ...]:
    """Devices in an answer to the probe with this id.

    Raises:
        OnvifError: no such answer.
    """
    root = _read(data)
    if message not in _text(root, "RelatesTo"):
        raise OnvifError("The answer is to another question.")
    return tuple(_match(each) for each in islice(_all(root, "ProbeMatch"), MAX_MATCHES))


def _match(element: Element) -> Match:
    scopes: dict[str, str] = {}
    for scope in _text(element, "Scopes").split():
        _, found, rest = scope.partition("onvif.org/")
        kind, _, value = rest.partition("/")
        if found and value:
            scopes.setdefault(kind, _plain(value))
    addresses = tuple(word[:MAX_TEXT] for word in _text(element, "XAddrs").split()[:8])
    endpoint = _plain(_text(element, "Address"))
    return Match(endpoint, addresses, scopes.get("name", ""), scopes.get("hardware", ""), scopes.get("location", ""))


def _plain(text: str) -> str:
    """Percent-decoded, on one line."""
    return " ".join(unquote(text).split())[:MAX_TEXT]


@dataclass(frozen=True, slots=True)
class Login:
    """A user of the camera."""

    user: str
    password: str


def request(body: str, login: Login | None, nonce: bytes, created: str) -> bytes:
    """A SOAP request. `nonce` is 16 random bytes; `created` the camera's time, as 2026-11-25T08:00:00.000Z."""
    header = _security(login, nonce, created) if login is not None and login.user else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">'
        f"<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _security(login: Login, nonce: bytes, created: str) -> str:
    digest = hashlib.sha1(nonce + created.encode() + login.password.encode()).digest()  # as the profile has it
    return (
        f'<w:Security xmlns:w="{_SECURITY}-wssecurity-secext-1.0.xsd" s:mustUnderstand="1"><w:UsernameToken>'
        f"<w:Username>{escape(login.user)}</w:Username>"
        f'<w:Password Type="{_DIGEST}">{base64.b64encode(digest).decode()}</w:Password>'
        f'<w:Nonce EncodingType="{_BASE64}">{base64.b64encode(nonce).decode()}</w:Nonce>'
        f'<u:Created xmlns:u="{_SECURITY}-wssecurity-utility-1.0.xsd">{created}</u:Created>'
        "</w:UsernameToken></w:Security>"
    )


GET_CLOCK = f'<GetSystemDateAndTime xmlns="{_DEVICE}"/>'
GET_DEVICE = f'<GetDeviceInformation xmlns="{_DEVICE}"/>'
GET_SERVICES = f'<GetCapabilities xmlns="{_DEVICE}"><Category>Media</Category></GetCapabilities>'
GET_PROFILES = f'<GetProfiles xmlns="{_MEDIA}"/>'


def get_stream(token: str) -> str:
    return (
        f'<GetStreamUri xmlns="{_MEDIA}"><StreamSetup><Stream xmlns="{_SCHEMA}">RTP-Unicast</Stream>'
        f'<Transport xmlns="{_SCHEMA}"><Protocol>RTSP</Protocol></Transport></StreamSetup>'
        f"<ProfileToken>{escape(token)}</ProfileToken></GetStreamUri>"
    )


def clock(data: bytes) -> float:
    """UTC seconds of the camera.

    Raises:
        OnvifError: it tells none.
    """
    for utc in _all(_answer(data), "UTCDateTime"):
        parts = [_text(utc, name) for name in ("Year", "Month", "Day", "Hour", "Minute", "Second")]
        try:
            year, month, day, hour, minute, second = map(int, parts)
        except ValueError as error:
            raise OnvifError(f"The camera's clock says {parts}.") from error
        of_day = 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second <= 60
        if not (1970 <= year < 2200 and 1 <= month <= 12 and 1 <= day <= 31 and of_day):
            raise OnvifError(f"The camera's clock says {parts}.")
        return float(calendar.timegm((year, month, day, hour, minute, min(second, 59))))
    raise OnvifError("The camera tells no time.")


def device(data: bytes) -> tuple[str, str, str]:
    """Manufacturer, model and firmware.

    Raises:
        OnvifError: see `_answer`.
    """
    root = _answer(data)
    manufacturer, model, firmware = (_text(root, name) for name in ("Manufacturer", "Model", "FirmwareVersion"))
    return manufacturer, model, firmware


def media_service(data: bytes) -> str:
    """URL of the media service.

    Raises:
        OnvifError: there is none.
    """
    for media in islice(_all(_answer(data), "Media"), MAX_PROFILES):
        address = _text(media, "XAddr")
        if address:
            return address
    raise OnvifError("The device has no media service.")


def profiles(data: bytes) -> tuple[Profile, ...]:
    """Raises:
    OnvifError: see `_answer`.
    """
    found = [each for each in _all(_answer(data), "Profiles") if each.get("token")]
    return tuple(_profile(each) for each in found[:MAX_PROFILES])


def _profile(element: Element) -> Profile:
    encoder = next(_all(element, "VideoEncoderConfiguration"), None)
    if encoder is None:
        return Profile((element.get("token") or "")[:MAX_TEXT], _name(element), "", 0, 0, 0.0, 0)
    resolution = next(_all(encoder, "Resolution"), encoder)
    return Profile(
        (element.get("token") or "")[:MAX_TEXT],
        _name(element),
        _text(encoder, "Encoding").upper().replace(".", ""),
        int(_figure(resolution, "Width")),
        int(_figure(resolution, "Height")),
        _figure(encoder, "FrameRateLimit"),
        int(_figure(encoder, "BitrateLimit")),
    )


def _name(element: Element) -> str:
    return next((_inner(child) for child in element if _local(child) == "Name"), "")


def stream_address(data: bytes) -> str:
    """Raises:
    OnvifError: none is told.
    """
    address = _text(_answer(data), "Uri", 1024)
    if not address:
        raise OnvifError("The camera tells no address of this stream.")
    return address


def streams_of(found: tuple[Profile, ...]) -> tuple[Profile | None, Profile | None]:
    """The main stream (the largest H.264) and the sub stream (the smallest other one), where they are."""
    usable = sorted((each for each in found if each.codec == "H264"), key=lambda each: -each.width * each.height)
    if not usable:
        return None, None
    smallest = usable[-1]
    smaller = smallest.width * smallest.height < usable[0].width * usable[0].height
    return usable[0], smallest if smaller else None


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(data: bytes) -> Element:
    if len(data) > MAX_ANSWER_BYTES:
        raise OnvifError(f"The answer has more than {MAX_ANSWER_BYTES} bytes.")
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise OnvifError(f"The answer is no XML that is read here: {error}.") from error
    if next(islice(root.iter(), MAX_ELEMENTS, None), None) is not None:
        raise OnvifError(f"The answer has more than {MAX_ELEMENTS} elements.")
    return root


def _answer(data: bytes) -> Element:
    """Raises:
    OnvifError: no XML, or a fault, in the camera's words.
    """
    root = _read(data)
    for fault in _all(root, "Fault"):
        words = _text(fault, "Text") or _text(fault, "faultstring")
        subcodes = " ".join(_inner(each) for each in _all(fault, "Value"))
        raise OnvifError(f"The camera refuses: {words or 'no reason given'} ({subcodes}).")
    return root


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _all(element: Element, name: str) -> Iterator[Element]:
    return (each for each in element.iter() if _local(each) == name)


def _inner(element: Element, longest: int = MAX_TEXT) -> str:
    return " ".join((element.text or "").split())[:longest]


def _text(element: Element, name: str, longest: int = 4 * MAX_TEXT) -> str:
    """Of the first element of this name; "" where there is none."""
    return next((_inner(each, longest) for each in _all(element, name)), "")


def _figure(element: Element, name: str) -> float:
    try:
        value = float(_text(element, name) or 0)
    except ValueError:
        return 0.0
    return value if 0 <= value < 1e6 else 0.0
