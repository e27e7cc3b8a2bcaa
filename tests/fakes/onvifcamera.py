"""An ONVIF camera: answers probes by UDP and SOAP by HTTP, as strict about its user as a real one."""

import base64
import calendar
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from xml.etree import ElementTree

from aiohttp import web

from tests.fakes.rtspcamera import free_port

ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:tds="http://www.onvif.org/ver10/device/wsdl"'
    ' xmlns:trt="http://www.onvif.org/ver10/media/wsdl" xmlns:ter="http://www.onvif.org/ver10/error"'
    ' xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><env:Header>%s</env:Header>'
    "<env:Body>%s</env:Body></env:Envelope>"
)
FAULT = (
    "<env:Fault><env:Code><env:Value>env:Sender</env:Value><env:Subcode><env:Value>ter:NotAuthorized</env:Value>"
    '</env:Subcode></env:Code><env:Reason><env:Text xml:lang="en">Sender not Authorized</env:Text></env:Reason>'
    "</env:Fault>"
)
PROFILE = (
    '<trt:Profiles token="{token}" fixed="true"><tt:Name>{name}</tt:Name><tt:VideoEncoderConfiguration token="e">'
    "<tt:Name>encoder</tt:Name><tt:Encoding>{codec}</tt:Encoding><tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}"
    "</tt:Height></tt:Resolution><tt:RateControl><tt:FrameRateLimit>25</tt:FrameRateLimit><tt:BitrateLimit>2048"
    "</tt:BitrateLimit></tt:RateControl></tt:VideoEncoderConfiguration></trt:Profiles>"
)


@dataclass
class OnvifCamera:
    user: str = "admin"
    password: str = "Mine#2026"
    clock_off_s: float = -7200.0
    """Its clock has never been set right."""
    host: str = "127.0.0.1"
    """By which it speaks of itself."""
    profiles: list[tuple[str, str, int, int]] = field(
        default_factory=lambda: [
            ("Profile_1", "H264", 1920, 1080),
            ("Profile_2", "H264", 640, 360),
            ("Profile_3", "JPEG", 320, 240),
        ]
    )
    streams: Callable[[str, "OnvifCamera"], str] = lambda token, camera: (
        f"rtsp://{camera.host}:554/Streaming/Channels/10{token[-1]}?transportmode=unicast"
    )
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/onvif/device_service"

    async def soap(self, request: web.Request) -> web.Response:
        root = ElementTree.fromstring(await request.read())
        [asked] = next(each for each in root if each.tag.endswith("}Body"))
        action = asked.tag.rpartition("}")[2]
        self.asked.append(action)
        if action != "GetSystemDateAndTime" and not self._knows(root):
            return _xml(ENVELOPE % ("", FAULT), 400)
        return _xml(ENVELOPE % ("", self._answer(action, asked)))

    def _knows(self, root: ElementTree.Element) -> bool:
        found = {each.tag.rpartition("}")[2]: each.text or "" for each in root.iter()}
        if not {"Username", "Password", "Nonce", "Created"} <= set(found):
            return False
        made = time.strptime(found["Created"].partition(".")[0], "%Y-%m-%dT%H:%M:%S")
        late = abs(calendar.timegm(made) - (time.time() + self.clock_off_s))
        nonce = base64.b64decode(found["Nonce"])
        digest = hashlib.sha1(nonce + found["Created"].encode() + self.password.encode()).digest()
        return found["Username"] == self.user and base64.b64decode(found["Password"]) == digest and late < 300

    def _answer(self, action: str, asked: ElementTree.Element) -> str:
        match action:
            case "GetSystemDateAndTime":
                at = time.gmtime(time.time() + self.clock_off_s)
                clock = (
                    f"<tt:Time><tt:Hour>{at.tm_hour}</tt:Hour><tt:Minute>{at.tm_min}</tt:Minute><tt:Second>{at.tm_sec}"
                )
                date = f"<tt:Date><tt:Year>{at.tm_year}</tt:Year><tt:Month>{at.tm_mon}</tt:Month><tt:Day>{at.tm_mday}"
                return (
                    "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:UTCDateTime>"
                    f"{clock}</tt:Second></tt:Time>{date}</tt:Day></tt:Date></tt:UTCDateTime></tds:SystemDateAndTime>"
                    "</tds:GetSystemDateAndTimeResponse>"
                )
            case "GetDeviceInformation":
                return (
                    "<tds:GetDeviceInformationResponse><tds:Manufacturer>Maker &amp; Sons</tds:Manufacturer><tds:Model>"
                    "DS-1</tds:Model><tds:FirmwareVersion>V5.5</tds:FirmwareVersion></tds:GetDeviceInformationResponse>"
                )
            case "GetCapabilities":
                return (
                    "<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Media><tt:XAddr>"
                    f"http://{self.host}:{self.port}/onvif/Media</tt:XAddr></tt:Media></tds:Capabilities>"
                    "</tds:GetCapabilitiesResponse>"
                )
            case "GetProfiles":
                made = "".join(
                    PROFILE.format(token=token, name=f"name of {token}", codec=codec, width=width, height=height)
                    for token, codec, width, height in self.profiles
                )
                return f"<trt:GetProfilesResponse>{made}</trt:GetProfilesResponse>"
            case _:
                token = next(each.text or "" for each in asked.iter() if each.tag.endswith("}ProfileToken"))
                url = self.streams(token, self).replace("&", "&amp;")
                return (
                    f"<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>{url}</tt:Uri></trt:MediaUri>"
                    "</trt:GetStreamUriResponse>"
                )

    def match(self, probe: bytes) -> bytes:
        """The answer to a probe."""
        [message] = re.findall(rb"MessageID>([^<]+)<", probe)
        scopes = "onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/Shaft%20mouth"
        scopes += " onvif://www.onvif.org/hardware/DS-1 onvif://www.onvif.org/location/yard"
        body = (
            "<d:ProbeMatches><d:ProbeMatch><wsa:EndpointReference><wsa:Address>urn:uuid:1-2-3</wsa:Address>"
            f"</wsa:EndpointReference><d:Scopes>{scopes}</d:Scopes><d:XAddrs>{self.url} http://169.254.1.1/onvif/device_service"
            "</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches>"
        )
        return (ENVELOPE % (f"<wsa:RelatesTo>{message.decode()}</wsa:RelatesTo>", body)).encode()


def _xml(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="application/soap+xml")


@contextlib.asynccontextmanager
async def camera(**more: object) -> AsyncIterator[OnvifCamera]:
    """A camera at a port of the loopback address."""
    made = OnvifCamera(port=free_port(), **more)  # type: ignore[arg-type]
    application = web.Application()
    application.router.add_post("/onvif/{service}", made.soap)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", made.port).start()
        yield made
    finally:
        await runner.cleanup()
