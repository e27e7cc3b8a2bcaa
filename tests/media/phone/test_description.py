"""Descriptions of phones: what is agreed, and what is refused."""

import base64
import random
import re

import pytest

from media.phone import description, sdes
from media.phone.description import (
    Agreement,
    Local,
    NotAcceptable,
    Payload,
    accept,
    answer,
    our_cryptos,
    our_payloads,
    read,
)
from media.phone.messages import Direction, Profile
from media.sdp import MediaSection, SdpError

LOCAL = Local("192.0.2.10", 20000, 20001, 77)
KEY = base64.b64encode(bytes(range(30))).decode()


def sdp(*lines: str, audio: str = "m=audio 4000 RTP/AVP 8 0 101", address: str = "192.0.2.1") -> str:
    head = ["v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0", audio]
    return "\r\n".join([*head, "a=rtpmap:101 telephone-event/8000", *lines]) + "\r\n"


def answered(text: str, profile: Profile | None = None, wanted: Direction = "sendrecv") -> tuple[str, Agreement]:
    return answer(read(text), LOCAL, 1, profile or Profile(), wanted)


def test_the_first_of_their_codecs_that_we_have_is_taken() -> None:
    text, agreement = answered(sdp("a=rtpmap:8 PCMA/8000", audio="m=audio 4000 RTP/AVP 18 8 0 101"))
    assert agreement.sending == Payload(8, "PCMA")
    assert agreement.events == (101, 8000)
    assert agreement.address == ("192.0.2.1", 4000)
    assert agreement.control == ("192.0.2.1", 4001)
    assert "m=audio 20000 RTP/AVP 8 101\r\n" in text
    assert "c=IN IP4 192.0.2.10" in text
    assert "a=rtcp:20001" in text


def test_their_payload_types_are_used() -> None:
    text, agreement = answered(
        sdp("a=rtpmap:98 opus/48000/2", "a=rtpmap:99 telephone-event/48000", audio="m=audio 4000 RTP/AVP 98 101 99")
    )
    assert agreement.sending == Payload(98, "opus")
    assert agreement.events == (99, 48000)
    assert "a=rtpmap:98 opus/48000/2" in text


def test_codecs_are_those_of_the_profile() -> None:
    assert answered(sdp(), Profile(codecs=("PCMU",)))[1].sending.codec == "PCMU"
    with pytest.raises(NotAcceptable):
        answered(sdp(), Profile(codecs=("opus",)))
    with pytest.raises(NotAcceptable):
        answered(sdp(audio="m=audio 4000 RTP/AVP 18"))


@pytest.mark.parametrize(
    ("theirs", "wanted", "ours"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendonly", "sendrecv", "recvonly"),
        ("recvonly", "sendrecv", "sendonly"),
        ("inactive", "sendrecv", "inactive"),
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "sendonly", "inactive"),
        ("recvonly", "recvonly", "inactive"),
    ],
)
def test_holds_are_mirrored(theirs: Direction, wanted: Direction, ours: Direction) -> None:
    text, agreement = answered(sdp(f"a={theirs}"), wanted=wanted)
    assert agreement.direction == ours
    assert f"a={ours}\r\n" in text


def test_the_old_way_to_hold() -> None:
    _, agreement = answered(sdp(address="0.0.0.0"))
    assert (agreement.direction, agreement.address) == ("recvonly", None)


def test_other_m_lines_are_refused_and_stay_in_their_places() -> None:
    text, _ = answered(
        sdp(audio="m=video 5000 RTP/AVP 96\r\nm=audio 4000 RTP/AVP 0").replace(
            "a=rtpmap:101 telephone-event/8000\r\n", ""
        )
        + "m=image 6000 udptl t38\r\n"
    )
    lines = re.findall(r"m=(.*)\r\n", text)
    assert lines == ["video 0 RTP/AVP 96", "audio 20000 RTP/AVP 0", "image 0 udptl t38"]


def test_media_level_addresses_and_ports_of_reports_count() -> None:
    _, agreement = answered(sdp("c=IN IP4 198.51.100.3", "a=rtcp:9001"))
    assert agreement.address == ("198.51.100.3", 4000)
    assert agreement.control == ("198.51.100.3", 9001)
    text, muxed = answered(sdp("a=rtcp-mux"))
    assert muxed.control == muxed.address
    assert "a=rtcp-mux" in text
    assert "a=rtcp-mux" not in answered(sdp())[0]


@pytest.mark.parametrize(
    "text", ["", "v=0\r\nm=audio x RTP/AVP 0\r\n", "hello", "v=0\r\n" + "m=audio 1 RTP/AVP 0\r\n" * 40]
)
def test_what_is_no_description(text: str) -> None:
    with pytest.raises(SdpError):
        read(text)


@pytest.mark.parametrize(
    "audio",
    [
        "m=audio 0 RTP/AVP 0",
        "m=video 4000 RTP/AVP 96",
        "m=audio 4000 UDP/TLS/RTP/SAVPF 111",
        "m=audio 4000 TCP/RTP/AVP 0",
    ],
)
def test_descriptions_without_sound_that_we_can_use(audio: str) -> None:
    with pytest.raises(NotAcceptable):
        read(sdp(audio=audio))


def test_names_are_not_looked_up_and_groups_not_sent_to() -> None:
    assert read(sdp(address="phone.example.net")).section.address is None
    assert read(sdp(address="224.0.0.5")).section.address is None


def test_an_encrypted_offer_is_answered_with_its_tag_and_suite_and_a_key_of_ours() -> None:
    offer = sdp(
        "a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:AAAA", f"a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31",
        audio="m=audio 4000 RTP/SAVP 0",
    )  # fmt: skip
    text, agreement = answered(offer)
    assert agreement.theirs is not None
    assert agreement.theirs.key == bytes(range(30))
    assert agreement.ours is not None
    assert "m=audio 20000 RTP/SAVP 0" in text
    found = re.search(r"a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:(\S+)", text)
    assert found is not None
    assert base64.b64decode(found[1]) == agreement.ours.key != agreement.theirs.key


def test_a_repeated_offer_keeps_our_key_and_a_new_key_of_theirs_changes_it() -> None:
    offer = sdp(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", audio="m=audio 4000 RTP/SAVP 0")
    _, first = answered(offer)
    _, again = answer(read(offer), LOCAL, 2, Profile(), "sendrecv", first)
    assert again.ours == first.ours
    other = base64.b64encode(bytes(30)).decode()
    _, changed = answer(read(offer.replace(KEY, other)), LOCAL, 3, Profile(), "sendrecv", again)
    assert changed.ours is not None
    assert first.ours is not None
    assert changed.ours.key != first.ours.key


def test_our_hold_of_an_encrypted_call_stays_encrypted_with_the_same_key() -> None:
    encrypted = sdp(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", audio="m=audio 4000 RTP/SAVP 8 101")
    _, agreement = answered(encrypted)
    assert agreement.ours is not None
    text = description.offer(LOCAL, 2, Profile(), "sendonly", (agreement.ours,), agreement.payloads, agreement)
    assert "m=audio 20000 RTP/SAVP 8 101" in text
    assert agreement.ours.line() in text
    assert "a=sendonly" in text


@pytest.mark.parametrize(
    "line",
    [
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^31|1:4",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY};inline:{KEY}",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP",
        "1 AES_CM_128_HMAC_SHA1_80 inline:AAAA",
        "1 AES_CM_128_HMAC_SHA1_80 inline:***",
        f"x AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
        f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
        "1",
        "",
    ],
)
def test_keys_that_we_cannot_use_are_passed_over(line: str) -> None:
    section = MediaSection("audio", 4000, "RTP/SAVP", ("0",))
    section.attributes.add(f"crypto:{line}")
    assert sdes.read(section) == ()


def test_our_offer_names_everything_and_their_answer_is_taken() -> None:
    profile = Profile()
    payloads, cryptos = our_payloads(profile), our_cryptos(profile)
    text = description.offer(LOCAL, 1, profile, "sendrecv", cryptos, payloads)
    assert "m=audio 20000 RTP/AVP 111 9 8 0 100 101\r\n" in text
    assert text.count("a=crypto:") == 3
    assert "a=rtpmap:100 telephone-event/48000" in text
    chosen = read(sdp(audio="m=audio 4000 RTP/AVP 9 101"))
    agreement = accept(chosen, profile, cryptos, payloads, "sendrecv")
    assert agreement.sending == Payload(9, "G722")
    assert agreement.theirs is None
    assert {each.codec for each in agreement.payloads} == {"opus", "G722", "PCMA", "PCMU"}
    encrypted = read(sdp(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"))
    assert accept(encrypted, profile, cryptos, payloads, "sendrecv").ours == cryptos[0]


def test_answers_that_do_not_fit_our_offer() -> None:
    profile = Profile(codecs=("PCMA",), srtp="require")
    payloads, cryptos = our_payloads(profile), our_cryptos(profile)
    assert "RTP/SAVP 8 101" in description.offer(LOCAL, 1, profile, "sendrecv", cryptos, payloads)
    with pytest.raises(NotAcceptable):
        accept(read(sdp(audio="m=audio 4000 RTP/SAVP 0")), profile, cryptos, payloads, "sendrecv")
    with pytest.raises(NotAcceptable):
        accept(read(sdp(audio="m=audio 4000 RTP/SAVP 8")), profile, cryptos, payloads, "sendrecv")
    wrong_tag = sdp(f"a=crypto:9 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", audio="m=audio 4000 RTP/SAVP 8")
    with pytest.raises(NotAcceptable):
        accept(read(wrong_tag), profile, cryptos, payloads, "sendrecv")


def test_no_description_breaks_the_reader() -> None:
    choose = random.Random(1)
    whole = sdp(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}", "a=rtcp:9001", "a=ptime:20", "a=sendonly")
    for _ in range(3000):
        text = list(whole)
        for _ in range(choose.randrange(1, 6)):
            at = choose.randrange(len(text))
            if choose.random() < 0.5:
                text[at] = choose.choice("0123456789:/= \r\n\0amx\u00e9\u0660")
            else:
                del text[at]
        try:
            answered("".join(text))
        except (SdpError, NotAcceptable):
            continue
