"""ONVIF cameras are found and asked; an address that no camera may have is not."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_network
from typing import cast

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from media.ingest import onvif
from media.ingest.address import AddressRefused, Policy
from media.ingest.onvif import OnvifError, Profile
from server.onvif import CameraUnreachable, discover, look
from tests.fakes.onvifcamera import camera

LOOPBACK = Policy(allow=(ip_network("127.0.0.0/8"),))


async def test_a_camera_tells_its_main_and_its_sub_stream() -> None:
    async with camera() as made:
        found = await look(made.url, "admin", "Mine#2026", LOOPBACK)
    assert (found.manufacturer, found.model, found.firmware) == ("Maker & Sons", "DS-1", "V5.5")
    assert abs(found.clock_off_s + 7200) <= 3
    assert found.main is not None
    assert found.sub is not None
    assert found.main.url == "rtsp://127.0.0.1:554/Streaming/Channels/101?transportmode=unicast"
    assert (found.main.profile.width, found.main.profile.frames_per_s, found.main.profile.kbps) == (1920, 25, 2048)
    assert found.sub.url == "rtsp://127.0.0.1:554/Streaming/Channels/102?transportmode=unicast"
    assert [stream.profile.codec for stream in found.streams] == ["H264", "H264", "JPEG"]


async def test_a_wrong_password_is_told_in_the_cameras_words() -> None:
    async with camera() as made:
        with pytest.raises(OnvifError, match="not Authorized"):
            await look(made.url, "admin", "guess", LOOPBACK)


async def test_an_address_of_this_machine_is_refused_before_anything_is_sent() -> None:
    async with camera() as made:
        with pytest.raises(AddressRefused, match="loopback"):
            await look(made.url, "admin", "Mine#2026", Policy())

        async def rebinding(host: str) -> Sequence[str]:
            return ["192.0.2.9", "127.0.0.1"]

        with pytest.raises(AddressRefused):
            await look(f"http://camera.example:{made.port}/onvif/device_service", "a", "b", Policy(), rebinding)
        assert made.asked == []
    for wrong in ("file:///etc/passwd", "http://user:x@127.0.0.1/", "http://", "http://[", "ftp://127.0.0.1/"):
        with pytest.raises(AddressRefused):
            await look(wrong, "", "", LOOPBACK)


async def test_services_and_streams_are_taken_from_the_checked_address_only() -> None:
    async with camera() as made:
        made.streams = lambda token, _: "rtsp://admin:secret@169.254.169.254/latest" if token == "Profile_1" else (
            "rtsp://admin:secret@127.0.0.1/second"
        )  # fmt: skip
        made.host = "198.51.100.7"  # it speaks of itself by an address that leads nowhere
        found = await look(f"http://127.0.0.1:{made.port}/onvif/device_service", "admin", "Mine#2026", LOOPBACK)
    assert found.streams[0].url == ""
    assert "link-local" in found.streams[0].refused
    assert found.main is not None
    assert found.main.url == "rtsp://127.0.0.1/second"  # what the camera tells holds no password of ours


async def test_what_is_no_camera_is_said_so() -> None:
    async def page(request: web.Request) -> web.Response:
        if request.path == "/moved":
            raise web.HTTPFound("/onvif/device_service")
        return web.Response(text="<!DOCTYPE html><html></html>")

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", page)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        with pytest.raises(OnvifError, match="no XML"):
            await look(f"http://127.0.0.1:{port}/", "", "", LOOPBACK)
        with pytest.raises(OnvifError, match="302"):
            await look(f"http://127.0.0.1:{port}/moved", "", "", LOOPBACK)
    finally:
        await runner.cleanup()
    with pytest.raises(CameraUnreachable):
        await look(f"http://127.0.0.1:{port}/", "", "", LOOPBACK)


async def test_cameras_of_the_network_answer_a_probe() -> None:
    async with camera() as made:

        class Ear(asyncio.DatagramProtocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = cast("asyncio.DatagramTransport", transport)

            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                for answer in (b"noise", b"<a/>", made.match(b"MessageID>uuid:other<"), made.match(data)):
                    self.transport.sendto(answer, addr)

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Ear, local_addr=("127.0.0.1", 0))
        try:
            [found] = await discover(LOOPBACK, 0.3, transport.get_extra_info("sockname"))
            assert await discover(Policy(), 0.1, transport.get_extra_info("sockname")) == []
        finally:
            transport.close()
    assert (found.name, found.hardware, found.location) == ("Shaft mouth", "DS-1", "yard")
    assert found.addresses == (made.url,), "the link-local one is refused"


def test_the_main_stream_is_the_largest_h264_and_the_sub_stream_the_smallest() -> None:
    def profile(token: str, codec: str, width: int) -> Profile:
        return Profile(token, "", codec, width, width, 25, 0)

    large, small, other = profile("a", "H264", 9), profile("b", "H264", 3), profile("c", "H265", 99)
    assert onvif.streams_of((small, other, large)) == (large, small)
    assert onvif.streams_of((large,)) == (large, None)
    assert onvif.streams_of((other,)) == (None, None)


@given(st.one_of(st.binary(max_size=300), st.text('<>/abP&;!"= ', max_size=200).map(str.encode)))
def test_any_bytes_give_an_answer_or_the_one_error(data: bytes) -> None:
    for read in (onvif.clock, onvif.device, onvif.profiles, onvif.media_service, onvif.stream_address):
        try:
            read(data)
        except OnvifError:
            pass
    bomb = b'<!DOCTYPE a [<!ENTITY b "cccc">]><a>&b;</a>'
    with pytest.raises(OnvifError):
        onvif.device(bomb)


def test_answer_of_many_elements_is_refused_before_it_is_searched() -> None:
    nested = b"<a>" + b"<Media>" * 6000 + b"</Media>" * 6000 + b"</a>"
    with pytest.raises(OnvifError, match="elements"):
        onvif.media_service(nested)


@pytest.mark.parametrize(("hour", "second"), [("-9999999999999", "0"), ("3", "-1"), ("24", "0"), ("3", "61")])
def test_clock_that_cannot_be_is_refused(hour: str, second: str) -> None:
    parts = {"Year": "2026", "Month": "11", "Day": "25", "Hour": hour, "Minute": "0", "Second": second}
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in parts.items())
    with pytest.raises(OnvifError, match="clock"):
        onvif.clock(f"<a><UTCDateTime>{inside}</UTCDateTime></a>".encode())
