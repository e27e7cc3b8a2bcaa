"""Reading descriptions: real ones as another implementation reads them, broken ones with our own error or none."""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given, settings
from hypothesis import strategies as st

from media.negotiation import SubscriberNegotiation, answer_player, answer_publisher
from media.rtpparameters import Codec, LocalTransport, WantedTrack
from media.sdp import MAX_BYTES, SdpError, parse, write

VECTORS = sorted((Path(__file__).parent.parent / "vectors" / "sdp").glob("*.sdp"))
LOCAL = LocalTransport("ours", "o" * 24, "sha-256 " + ":".join(["A5"] * 32), (("127.0.0.1", 40000),))
TRACKS = [
    WantedTrack("a/0", "audio", Codec(111, "opus", 48000, 2), "a", 1, 2, "a"),
    WantedTrack("a/1", "video", Codec(96, "VP8", 90000), "a", 3, 4, "a"),
    WantedTrack(
        "a/2", "video", Codec(102, "H264", 90000, 1, (("profile-level-id", "42e01f"),)), "screen", 5, 6, "screen"
    ),
]


def text_of(path: Path) -> str:
    return path.read_bytes().decode()


def publish(sdp: str) -> None:
    answer_publisher(sdp, LOCAL, ("audio", "video"))


def play(sdp: str) -> None:
    answer_player(sdp, LOCAL, TRACKS)


def accept(sdp: str) -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    negotiation.offer(TRACKS)
    negotiation.accept(1, sdp)


READERS: list[Callable[[str], None]] = [publish, play, accept]


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_lines_and_attributes_are_those_that_another_implementation_finds(path: Path) -> None:
    description = parse(text_of(path))
    oracle = SessionDescription.parse(text_of(path))
    assert len(description.media) == len(oracle.media)
    for section, expected in zip(description.media, oracle.media, strict=True):
        assert (section.kind, section.port, section.protocol) == (expected.kind, expected.port, expected.profile)
        assert list(section.formats) == [str(format_) for format_ in expected.fmt]
        assert section.attributes.first("mid") == expected.rtp.muxId
        assert ("rtcp-mux" in section.attributes) == expected.rtcp_mux
        assert len(section.attributes.all("extmap")) == len(expected.rtp.headerExtensions)
        assert {value.split(" ")[0] for value in section.attributes.all("ssrc")} == {str(s.ssrc) for s in expected.ssrc}
        assert len(section.attributes.all("candidate")) == len(expected.ice_candidates)


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_line_ends_of_one_character_read_the_same(path: Path) -> None:
    plain = parse(text_of(path).replace("\r\n", "\n"))
    for ours, other in zip(plain.media, parse(text_of(path)).media, strict=True):
        assert ours.formats == other.formats
        assert ours.attributes.all("rtpmap") == other.attributes.all("rtpmap")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begin"),
        ("o=- 0 0 IN IP4 0.0.0.0", "begin"),
        ("v=0\nnonsense", "x=value"),
        ("v=0\nm=audio", "four fields"),
        ("v=0\nm=audio x UDP/TLS/RTP/SAVPF 0", "no port"),
        ("v=0\nm=audio 99999 UDP/TLS/RTP/SAVPF 0", "no port"),
        ("v=0\nm=audio 9 UDP/TLS/RTP/SAVPF 0,1(", "no token"),
        ("v=0\na=x\x00", "control"),
        ("v=0\na=x\u2028a=y", "control"),
        ("v=0\na=x\ra=y\n", "carriage return"),
        ("v=0\n" + "a=x\n" * (MAX_BYTES // 4), "longer than"),
        ("v=0\na=" + "密" * (MAX_BYTES // 3), "longer than"),
        ("v=0" + "\nm=audio 9 X 0" * 33, "m-lines"),
        ("v=0" + "\na=candidate:1 1 udp 1 192.0.2.1 9 typ host" * 65, "candidates"),
    ],
)
def test_what_is_no_description_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(SdpError, match=says) as caught:
        parse(text)
    assert caught.value.kind == "sdp_invalid"
    assert caught.value.detail.endswith(".")


def test_what_is_written_reads_back() -> None:
    lines = ["v=0", "o=- 12 3 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=ice-lite", "m=audio 9/2 RTP/AVP 0 8", "a=mid:x"]
    description = parse(write(lines))
    assert (description.session_id, description.version) == (12, 3)
    assert "ice-lite" in description.attributes
    assert description.media[0].attributes.first("mid") == "x"
    assert description.media[0].attributes.first("ice-lite") is None


BREAKS = [
    ("a=group:BUNDLE 0 1\r\n", "", "BUNDLE"),
    ("a=mid:1\r\n", "a=mid:0\r\n", "same a=mid"),
    ("a=mid:1\r\n", "", "no a=mid"),
    ("a=mid:1\r\n", f"a=mid:{'x' * 33}\r\n", "no a=mid"),
    ("a=ice-ufrag:", "a=ice-ufrag:\u00fc", "ice-ufrag"),
    ("a=ice-pwd:", "a=ice-password:", "ice-pwd"),
    ("a=fingerprint:sha-256 ", "a=fingerprint:sha-1 ", "fingerprint"),
    ("a=fingerprint:sha-256 3F:", "a=fingerprint:sha-256 ", "fingerprint"),
    ("a=setup:actpass", "a=setup:holdconn", "DTLS server"),
    ("a=group:BUNDLE", "a=ice-lite\r\na=group:BUNDLE", "ICE-lite"),
    ("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus", "rtpmap"),
    ("a=rtpmap:111 opus/48000/2", "a=rtpmap:1११ opus/48000/2", "rtpmap"),
    ("SAVPF 111 ", "SAVPF 128 ", "payload type"),
]


@pytest.mark.parametrize(("found", "instead", "says"), BREAKS)
def test_each_thing_that_an_offer_must_have_is_named_when_it_is_missing(found: str, instead: str, says: str) -> None:
    offer = next(text_of(path) for path in VECTORS if path.stem == "chromium-publish")
    assert found in offer
    with pytest.raises(SdpError, match=says) as caught:
        publish(offer.replace(found, instead))
    assert caught.value.kind == "sdp_invalid"


def tried(sdp: str) -> None:
    """Any other exception than ours fails the test."""
    for reader in READERS:
        with suppress(SdpError):
            reader(sdp)


@given(st.text(max_size=400))
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    tried(text)
    tried("v=0\r\n" + text)


WORDS = st.sampled_from(
    "0 1 96 -1 4294967296 99999999999999999999 \u0663 audio video BUNDLE FID send rtx/90000 VP8/90000 opus/48000/2 "
    "apt=96 sha-256 ; : / = ~ q;h;f 9/9/9 *".split(" ")
)
NAMES = st.sampled_from(
    "mid group rtpmap fmtp rtcp-fb extmap ssrc ssrc-group rid simulcast setup msid ice-ufrag ice-pwd fingerprint "
    "rtcp-mux sendonly recvonly bundle-only candidate ice-lite".split()
)
LINE = st.builds(lambda name, words: f"a={name}:{' '.join(words)}", NAMES, st.lists(WORDS, max_size=5))
EDIT = st.tuples(st.sampled_from(["replace", "insert", "delete", "swap"]), st.floats(0, 1, exclude_max=True), LINE)


@given(st.sampled_from(VECTORS), st.lists(EDIT, min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_real_descriptions_with_changed_lines_are_read_or_refused(
    path: Path, edits: list[tuple[str, float, str]]
) -> None:
    lines = text_of(path).splitlines()
    for what, where, line in edits:
        position = int(where * len(lines))
        if what == "insert":
            lines.insert(position, line)
        elif what == "replace":
            lines[position] = line
        elif what == "delete" and len(lines) > 1:
            del lines[position]
        else:
            lines[position], lines[0] = lines[0], lines[position]
    tried("\r\n".join(lines))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_real_descriptions_with_changed_characters_are_read_or_refused(path: Path) -> None:
    text, dice = text_of(path), random.Random(path.stem)
    for _ in range(60):
        damaged = list(text)
        for _ in range(dice.choice((1, 3, 30))):
            position = dice.randrange(len(damaged))
            damaged[position] = dice.choice(("", damaged[position] * 2, chr(dice.randrange(32, 127)), "\r\n", " ", ":"))
        tried("".join(damaged)[: dice.choice((len(damaged), dice.randrange(len(damaged))))])


LONG = [
    ("a=fmtp:96 " + "a=1;" * 15_000),
    ("a=simulcast:send " + "q;" * 30_000),
    ("a=simulcast:send " + "q," * 30_000),
    ("a=group:BUNDLE " + "0 " * 30_000),
    "\r\n".join(f"a=ssrc:{number} cname:x" for number in range(2_500)),
    "\r\n".join(f"a=ssrc-group:FID {number} {number + 1}" for number in range(2_000)),
    "\r\n".join(f"a=extmap:{number % 14 + 1} {number}" for number in range(3_000)),
    "\r\n".join(f"a=rtpmap:{number % 128} VP8/90000" for number in range(2_300)),
    "\r\n".join(f"a=rtcp-fb:* {number}" for number in range(3_000)),
    "\r\n".join("a=x" for _ in range(11_000)),
    "\r\n" * 29_000,
    "a=" + "mid:" * 14_000,
]


@pytest.mark.parametrize("filling", LONG, ids=lambda filling: filling[:24].strip() or "empty lines")
def test_the_longest_description_costs_time_in_proportion(filling: str) -> None:
    """Quadratic work on 60 KiB would take seconds; this bound is far from both."""
    offer = next(text_of(path) for path in VECTORS if path.stem == "chromium-publish-simulcast")
    sdp = (offer + filling)[: MAX_BYTES - 1]
    started = time.thread_time()
    tried(sdp)
    assert time.thread_time() - started < 1.0
