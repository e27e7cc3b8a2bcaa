"""Pictures in descriptions of phones: what is agreed, and what is refused without refusing the call."""

import base64

import pytest

from media.phone import description
from media.phone.description import Local, accept, answer, our_cryptos, our_payloads, read
from media.phone.messages import Direction, Profile
from media.phone.videodescription import Format

LOCAL = Local("192.0.2.10", 20000, 20001, 77, video_port=20002)
PICTURES = Profile(video=True)
KEY = base64.b64encode(bytes(range(30))).decode()
AUDIO = ("m=audio 4000 RTP/AVP 8", "a=rtpmap:8 PCMA/8000")
MODE_0 = ("a=rtpmap:96 H264/90000", "a=fmtp:96 profile-level-id=42E01F")
MODE_1 = ("a=rtpmap:97 H264/90000", "a=fmtp:97 packetization-mode=1;profile-level-id=4D401F")


def sdp(*lines: str) -> str:
    return "\r\n".join(["v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", *lines]) + "\r\n"


def with_video(*lines: str, formats: str = "96 97") -> str:
    return sdp(*AUDIO, f"m=video 4002 RTP/AVP {formats}", *lines)


def test_packetization_mode_1_is_taken_before_mode_0() -> None:
    text, agreement = answer(read(with_video(*MODE_0, *MODE_1)), LOCAL, 1, PICTURES, "sendrecv")
    assert agreement.video is not None
    assert agreement.video.sending == Format(97, "4d401f", True)
    assert agreement.video.address == ("192.0.2.1", 4002)
    assert "m=video 20002 RTP/AVP 97\r\n" in text
    assert "a=fmtp:97 profile-level-id=4d401f;packetization-mode=1" in text
    assert "a=rtcp-fb:* nack pli" in text


def test_a_phone_with_mode_0_alone_gets_single_units() -> None:
    _, agreement = answer(read(with_video(*MODE_0, formats="34 96")), LOCAL, 1, PICTURES, "sendrecv")
    assert agreement.video is not None
    assert agreement.video.sending == Format(96, "42e01f", False)


@pytest.mark.parametrize(
    "lines",
    [
        ("a=rtpmap:96 H265/90000", "a=rtpmap:97 VP8/90000"),
        ("a=rtpmap:96 H264/8000",),
        ("a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=2;profile-level-id=42e01f"),
        ("a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1;profile-level-id=530010"),
        ("a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1;profile-level-id=zz"),
    ],
)
def test_pictures_that_cannot_be_taken_leave_the_sound(lines: tuple[str, ...]) -> None:
    text, agreement = answer(read(with_video(*lines)), LOCAL, 1, PICTURES, "sendrecv")
    assert agreement.video is None
    assert agreement.sending.codec == "PCMA"
    assert "m=video 0 RTP/AVP 96 97" in text


def test_without_ports_pictures_are_refused() -> None:
    text, agreement = answer(read(with_video(*MODE_1)), Local("192.0.2.10", 20000, 20001, 77), 1, PICTURES, "sendrecv")
    assert agreement.video is None
    assert "m=video 0" in text


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
)
def test_each_way_is_agreed_for_itself(theirs: Direction, ours: Direction) -> None:
    _, agreement = answer(read(with_video(*MODE_1, f"a={theirs}")), LOCAL, 1, PICTURES, "sendrecv")
    assert agreement.video is not None
    assert (agreement.direction, agreement.video.direction) == ("sendrecv", ours)


def test_pictures_have_keys_of_their_own_which_stay_through_a_hold() -> None:
    crypto = f"a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
    offer = sdp("m=audio 4000 RTP/SAVP 8", crypto, "m=video 4002 RTP/SAVP 97", *MODE_1, crypto)
    text, agreement = answer(read(offer), LOCAL, 1, PICTURES, "sendrecv")
    assert agreement.ours is not None
    assert agreement.video is not None
    assert agreement.video.ours is not None
    assert agreement.ours.key != agreement.video.ours.key
    assert text.count("a=crypto:3 ") == 2
    _, again = answer(read(offer), LOCAL, 2, PICTURES, "sendrecv", agreement)
    assert again.video == agreement.video
    held = description.offer(LOCAL, 3, PICTURES, "sendonly", (agreement.ours,), agreement.payloads, agreement)
    assert agreement.video.ours.line() in held
    assert held.index("a=sendonly") < held.index("m=video 20002 RTP/SAVP 97") < held.index("a=inactive")


def test_a_later_offer_of_ours_has_every_m_line_in_its_place() -> None:
    offer = sdp("m=application 9 UDP/BFCP *", "m=video 4002 RTP/AVP 97", *MODE_1, *AUDIO)
    _, agreement = answer(read(offer), LOCAL, 1, PICTURES, "sendrecv")
    text = description.offer(LOCAL, 2, PICTURES, "sendrecv", (), agreement.payloads, agreement)
    lines = [line.split()[0:2] for line in text.splitlines() if line.startswith("m=")]
    assert lines == [["m=application", "0"], ["m=video", "20002"], ["m=audio", "20000"]]


def test_our_offer_has_pictures_and_a_phone_without_them_is_no_failure() -> None:
    payloads, cryptos, pictures = our_payloads(PICTURES), our_cryptos(PICTURES), our_cryptos(PICTURES)
    text = description.offer(LOCAL, 1, PICTURES, "sendrecv", cryptos, payloads, None, pictures)
    assert "m=video 20002 RTP/AVP 97 98" in text
    for line in ("packetization-mode=1", "packetization-mode=0", pictures[0].line()):
        assert line in text
    without = accept(read(sdp(*AUDIO, "m=video 0 RTP/AVP 97")), PICTURES, cryptos, payloads, "sendrecv", pictures)
    assert without.video is None
    taken = accept(read(with_video(*MODE_1)), PICTURES, cryptos, payloads, "sendrecv", pictures)
    assert taken.video is not None
    assert taken.video.sending == Format(97, "4d401f", True)
    unasked = accept(read(with_video(*MODE_1)), PICTURES, cryptos, payloads, "sendrecv", None)
    assert unasked.video is None


def test_encryption_that_must_be_is_asked_of_pictures_as_well() -> None:
    profile = Profile(video=True, srtp="require")
    crypto = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
    offer = sdp("m=audio 4000 RTP/SAVP 8", crypto, "m=video 4002 RTP/AVP 97", *MODE_1)
    assert answer(read(offer), LOCAL, 1, profile, "sendrecv")[1].video is None
