"""Offers and answers, against descriptions that real clients wrote (`tests/vectors/sdp`)."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription

from media.codecmatch import (
    AUDIO_LEVEL,
    DEPENDENCY_DESCRIPTOR,
    MID,
    PLAYOUT_DELAY,
    REPAIRED_RID,
    RID,
    TRANSPORT_SEQUENCE,
    VIDEO_ORIENTATION,
)
from media.negotiation import SdpError, SubscriberNegotiation, answer_player, answer_publisher
from media.rtpparameters import Codec, Kind, LocalTransport, WantedTrack
from media.sdp import parse

VECTORS = Path(__file__).parent.parent / "vectors" / "sdp"
FINGERPRINT = "sha-256 " + ":".join(["A5"] * 32)
LOCAL = LocalTransport("ours", "o" * 24, FINGERPRINT, (("127.0.0.1", 40000), ("fd00::1", 40001)))
BOTH: tuple[Kind, Kind] = ("audio", "video")

OPUS = Codec(111, "opus", 48000, 2, (("minptime", "10"), ("useinbandfec", "1")))
VP8 = Codec(96, "VP8", 90000)


def h264(profile: str) -> Codec:
    return Codec(102, "H264", 90000, 1, (("packetization-mode", "1"), ("profile-level-id", profile)))


def vector(name: str) -> str:
    return (VECTORS / f"{name}.sdp").read_bytes().decode()


def track(name: str, codec: Codec = VP8, stream: str = "s1", ssrc: int = 1000) -> WantedTrack:
    kind: Kind = "audio" if codec.name in ("opus", "PCMU", "PCMA") else "video"
    return WantedTrack(name, kind, codec, stream, ssrc, ssrc + 1, "cname")


def answer_of(offer: str, direction: str = "recvonly") -> str:
    """What a client that takes everything answers: its own transport, the offer's codecs."""
    lines: list[str] = []
    for line in offer.splitlines():
        if line.startswith(("a=ssrc", "a=msid:", "a=candidate", "a=end-of-candidates", "a=ice-lite")):
            continue
        line = {"a=sendonly": f"a={direction}", "a=setup:actpass": "a=setup:active"}.get(line, line)
        line = line.replace("a=ice-ufrag:ours", "a=ice-ufrag:their").replace("o" * 24, "t" * 24)
        lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def without_section(answer: str, mid: str) -> str:
    """The same answer with one m-line rejected."""
    head, *sections = answer.split("m=")
    changed = [
        section.replace(" 40000 ", " 0 ", 1) if f"a=mid:{mid}\r\n" in section else section for section in sections
    ]
    group = next(line for line in head.splitlines() if line.startswith("a=group"))
    return "m=".join([head.replace(group, group.replace(f" {mid}", "", 1)), *changed])


# --- publishers


def test_a_browser_that_publishes_is_answered_with_all_it_can_send_that_we_forward() -> None:
    answer = answer_publisher(vector("chromium-publish"), LOCAL, BOTH)
    audio, video = answer.media
    assert [codec.name for codec in audio.codecs] == ["opus", "PCMU", "PCMA"]
    assert [(codec.name, codec.payload_type, codec.rtx_payload_type) for codec in video.codecs] == [
        ("VP8", 96, 97),
        ("H264", 102, 103),
        ("H264", 108, 109),
        ("H264", 116, 117),
        ("AV1", 45, 46),
        ("VP9", 98, 99),
        ("VP9", 100, 101),
    ]
    assert video.codecs[0].feedback == ("nack", "nack pli", "ccm fir", "transport-cc")
    assert audio.codecs[0].feedback == ("transport-cc",)
    assert "a=fmtp:96 x-google-start-bitrate=500\r\n" in answer.sdp
    assert video.codecs[0].parameters == (), "subscribers are not told how the publisher began"
    assert audio.extensions[TRANSPORT_SEQUENCE] == video.extensions[TRANSPORT_SEQUENCE] == 3
    assert audio.extensions.keys() >= {AUDIO_LEVEL, MID}
    assert video.extensions.keys() >= {MID, VIDEO_ORIENTATION, PLAYOUT_DELAY}
    assert not video.extensions.keys() & {RID, REPAIRED_RID}
    assert video.ssrcs == (543340980,)
    assert video.rtx == {784093398: 543340980}
    assert audio.stream == video.stream == "2912a170-c860-466c-8bbc-5a0df5732dc5"
    assert answer.remote.ufrag == "+v/O"
    assert answer.remote.setup == "actpass"
    assert answer.remote.fingerprints[0][0] == "sha-256"


def test_our_answer_is_ice_lite_passive_and_carries_its_candidates_once() -> None:
    text = answer_publisher(vector("chromium-publish"), LOCAL, BOTH).sdp
    assert "a=ice-lite\r\n" in text
    assert text.count("a=setup:passive\r\n") == 2
    assert text.count("a=recvonly\r\n") == 2
    assert text.count("a=candidate:") == 2
    assert "a=candidate:2 1 udp 2130706175 fd00::1 40001 typ host\r\na=end-of-candidates" in text
    assert "goog-remb" not in text
    assert "a=group:BUNDLE 0 1\r\n" in text
    assert text.count("a=rtcp-mux\r\n") == 2


@pytest.mark.parametrize(
    "name", [path.stem for path in sorted(VECTORS.glob("*publish*.sdp")) if not path.stem.endswith("passive")]
)
def test_another_implementation_reads_our_answer_as_we_meant_it(name: str) -> None:
    answer = answer_publisher(vector(name), LOCAL, BOTH)
    oracle = SessionDescription.parse(answer.sdp)
    accepted = {section.rtp.muxId: section for section in oracle.media if section.port}
    assert accepted.keys() == {media.mid for media in answer.media}
    for media in answer.media:
        section = accepted[media.mid]
        assert section.direction == ("recvonly" if media.active else "inactive")
        assert section.rtcp_mux
        assert section.dtls is not None
        assert section.dtls.role == "server"
        assert section.ice is not None
        assert section.ice.usernameFragment == "ours"
        codecs = [codec for codec in section.rtp.codecs if codec.name != "rtx"]
        assert [(codec.payloadType, codec.name) for codec in codecs] == [
            (codec.payload_type, codec.name) for codec in media.codecs
        ]
        assert {extension.uri: extension.id for extension in section.rtp.headerExtensions} == media.extensions


def test_ffmpeg_as_dtls_client_is_taken() -> None:
    answer = answer_publisher(vector("ffmpeg-publish"), LOCAL, BOTH)
    assert answer.remote.setup == "active"
    video = answer.media[1]
    assert video.codecs[0].name == "H264"
    assert video.codecs[0].rtx_payload_type == 105
    assert video.rtx == {667337222: 667337221}


def test_an_offer_that_leaves_us_the_dtls_clients_part_is_refused_with_a_hint() -> None:
    with pytest.raises(SdpError, match="dtls_active") as caught:
        answer_publisher(vector("ffmpeg-publish-passive"), LOCAL, BOTH)
    assert caught.value.kind == "sdp_invalid"


def test_a_kind_that_is_not_allowed_is_rejected_and_the_other_stays() -> None:
    answer = answer_publisher(vector("chromium-publish"), LOCAL, ["audio"])
    assert [media.kind for media in answer.media] == ["audio"]
    assert "m=video 0 " in answer.sdp
    assert "a=group:BUNDLE 0\r\n" in answer.sdp


def test_the_transport_moves_to_the_first_m_line_that_is_taken() -> None:
    answer = answer_publisher(vector("chromium-publish"), LOCAL, ["video"])
    video = answer.sdp[answer.sdp.index("m=video") :]
    assert "m=audio 0 " in answer.sdp
    assert video.count("a=candidate:") == 2


@pytest.mark.parametrize("without", ["transport-cc", f"{TRANSPORT_SEQUENCE}\r\n"])
def test_a_publisher_that_numbers_no_packets_of_its_transport_gets_an_estimate(without: str) -> None:
    offer = "\r\n".join(line for line in vector("chromium-publish").split("\r\n") if without.strip() not in line)
    answer = answer_publisher(offer, LOCAL, BOTH)
    assert answer.media[1].codecs[0].feedback == ("nack", "nack pli", "ccm fir", "goog-remb")
    assert "transport" not in answer.sdp
    assert "x-google" not in answer.sdp


def test_data_channels_are_rejected() -> None:
    answer = answer_publisher(vector("chromium-publish-video-data"), LOCAL, BOTH)
    assert "m=application 0 UDP/DTLS/SCTP webrtc-datachannel" in answer.sdp
    assert [media.kind for media in answer.media] == ["video"]


def test_all_layers_of_a_simulcast_are_taken_without_dependency_descriptors() -> None:
    answer = answer_publisher(vector("chromium-publish-simulcast"), LOCAL, BOTH)
    (video,) = answer.media
    assert video.rids == ("f", "h", "q")
    assert video.ssrcs == ()
    assert RID in video.extensions
    assert DEPENDENCY_DESCRIPTOR not in video.extensions
    assert "a=rid:f recv\r\na=rid:h recv\r\na=rid:q recv\r\na=simulcast:recv f;h;q\r\n" in answer.sdp


def test_an_older_simulcast_is_a_group_of_ssrcs() -> None:
    section = "a=ssrc-group:SIM 1 2 3\r\n" + "".join(f"a=ssrc:{ssrc} cname:x\r\n" for ssrc in (1, 2, 3, 11, 12, 13))
    section += "".join(f"a=ssrc-group:FID {ssrc} {ssrc + 10}\r\n" for ssrc in (1, 2, 3))
    offer = re.sub(r"a=ssrc.*\r\n", "", vector("chromium-publish-video-data"))
    media = answer_publisher(offer.replace("a=rtcp-rsize\r\n", "a=rtcp-rsize\r\n" + section, 1), LOCAL, BOTH).media[0]
    assert media.simulcast == (1, 2, 3)
    assert media.rtx == {11: 1, 12: 2, 13: 3}


def test_a_paused_layer_is_not_preferred_and_of_alternatives_the_first_counts() -> None:
    offer = vector("chromium-publish-simulcast").replace("simulcast:send f;h;q", "simulcast:send ~f;h,q")
    assert answer_publisher(offer, LOCAL, BOTH).media[0].rids == ("h", "f")


def test_a_layer_without_its_rid_line_is_no_layer() -> None:
    offer = vector("chromium-publish-simulcast").replace("simulcast:send f;h;q", "simulcast:send unknown")
    answer = answer_publisher(offer, LOCAL, BOTH)
    assert answer.media[0].rids == ()
    assert "simulcast" not in answer.sdp


def test_transport_lines_of_the_session_and_bundle_only_m_lines_are_understood() -> None:
    """The way another browser writes it: one fingerprint above all m-lines, later m-lines with port 0."""
    lines = vector("chromium-publish").split("\r\n")
    fingerprint = next(line for line in lines if line.startswith("a=fingerprint"))
    group = lines.index("a=group:BUNDLE 0 1")
    video = next(index for index, line in enumerate(lines) if line.startswith("m=video"))
    changed = [*lines[: group + 1], fingerprint, "a=sendrecv"]
    changed += [line for line in lines[group + 1 : video] if line != fingerprint]
    changed += [lines[video].replace("m=video 9", "m=video 0"), "a=bundle-only"]
    changed += [line for line in lines[video + 1 :] if line != fingerprint and not line.startswith("a=ice-")]
    answer = answer_publisher("\r\n".join(changed), LOCAL, BOTH)
    assert [media.kind for media in answer.media] == ["audio", "video"]
    assert answer.remote == answer_publisher(vector("chromium-publish"), LOCAL, BOTH).remote
    assert "m=video 40000 " in answer.sdp


def test_header_extension_ids_that_need_a_longer_header_are_left_out() -> None:
    offer = vector("chromium-publish").replace("a=extmap:13 urn:3gpp", "a=extmap:15 urn:3gpp")
    offer = offer.replace("a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid", "a=extmap:4/recvonly urn:other")
    answer = answer_publisher(offer, LOCAL, BOTH)
    assert not answer.media[1].extensions.keys() & {VIDEO_ORIENTATION, MID}


def test_nothing_in_common_is_said_so() -> None:
    with pytest.raises(SdpError) as caught:
        answer_publisher(vector("chromium-publish"), LOCAL, [])
    assert caught.value.kind == "no_common_codec"


def test_a_track_that_stopped_is_inactive_and_keeps_its_place() -> None:
    offer = vector("chromium-publish")
    cut = offer.index("m=video")
    answer = answer_publisher(offer[:cut] + offer[cut:].replace("a=sendonly", "a=inactive"), LOCAL, BOTH)
    assert [media.active for media in answer.media] == [True, False]
    assert answer.sdp.count("a=inactive\r\n") == 1


def test_rtcp_on_its_own_port_is_refused() -> None:
    with pytest.raises(SdpError, match="rtcp-mux"):
        answer_publisher(vector("chromium-publish").replace("a=rtcp-mux\r\n", "", 1), LOCAL, BOTH)


# --- subscribers


def test_the_first_offer_names_streams_ssrcs_and_one_codec_per_track() -> None:
    offer = SubscriberNegotiation(LOCAL).offer([track("p/0", OPUS, ssrc=10), track("p/1", VP8, ssrc=20)])
    assert offer is not None
    assert offer.mids == {"0": "p/0", "1": "p/1"}
    oracle = SessionDescription.parse(offer.sdp)
    audio, video = oracle.media
    assert [codec.name for codec in audio.rtp.codecs] == ["opus"]
    assert [codec.name for codec in video.rtp.codecs] == ["VP8", "rtx"]
    assert [entry.ssrc for entry in video.ssrc] == [20, 21]
    assert video.ssrc_group[0].items == [20, 21]
    assert audio.msid == "s1 p-0"
    assert video.dtls is not None
    assert video.dtls.role == "auto"
    assert {section.direction for section in oracle.media} == {"sendonly"}


def test_an_offer_that_would_say_the_same_is_not_made() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    assert negotiation.offer([]) is None
    offer = negotiation.offer([track("p/1")])
    assert offer is not None
    negotiation.accept(offer.generation, answer_of(offer.sdp))
    assert negotiation.offer([track("p/1")]) is None


def test_an_offer_that_nobody_answered_may_have_been_lost_and_is_made_again() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    first = negotiation.offer([track("p/1")])
    again = negotiation.offer([track("p/1")])
    assert first is not None
    assert again is not None
    assert (again.generation, again.mids) == (first.generation + 1, first.mids)
    assert negotiation.accept(again.generation, answer_of(again.sdp)).sending[0].track == "p/1"


def test_an_accepted_offer_tells_what_to_send_where() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    offer = negotiation.offer([track("p/0", OPUS), track("p/1")])
    assert offer is not None
    accepted = negotiation.accept(1, answer_of(offer.sdp))
    assert accepted.remote.ufrag == "their"
    assert accepted.remote.setup == "active"
    assert [(media.mid, media.track, media.payload_type, media.rtx_payload_type) for media in accepted.sending] == [
        ("0", "p/0", 111, None),
        ("1", "p/1", 96, 97),
    ]
    assert accepted.refused == {}


def test_only_the_newest_offer_can_be_accepted_and_only_once() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    first = negotiation.offer([track("p/1")])
    second = negotiation.offer([track("p/1"), track("p/2")])
    assert first is not None
    assert second is not None
    with pytest.raises(SdpError) as caught:
        negotiation.accept(first.generation, answer_of(first.sdp))
    assert caught.value.kind == "stale"
    negotiation.accept(second.generation, answer_of(second.sdp))
    with pytest.raises(SdpError, match="newest"):
        negotiation.accept(second.generation, answer_of(second.sdp))


def test_m_lines_are_never_removed_and_reused_only_after_the_client_agreed() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    first = negotiation.offer([track("p/1"), track("p/2")])
    assert first is not None
    negotiation.accept(1, answer_of(first.sdp))
    swapped = negotiation.offer([track("p/2"), track("p/3")])
    assert swapped is not None
    assert swapped.mids == {"1": "p/2", "2": "p/3"}
    assert swapped.sdp.count("a=inactive\r\n") == 1
    negotiation.accept(2, answer_of(swapped.sdp))
    third = negotiation.offer([track("p/2"), track("p/3"), track("p/4", stream="other")])
    assert third is not None
    assert third.mids == {"0": "p/4", "1": "p/2", "2": "p/3"}
    assert "a=msid:other p-4" in third.sdp


def test_a_freed_audio_line_is_not_given_to_video() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    for generation, wanted in enumerate(([track("p/0", OPUS), track("p/1")], [track("p/1")]), 1):
        offer = negotiation.offer(wanted)
        assert offer is not None
        negotiation.accept(generation, answer_of(offer.sdp))
    offer = negotiation.offer([track("p/1"), track("p/2")])
    assert offer is not None
    assert offer.mids == {"1": "p/1", "2": "p/2"}


def test_what_the_client_rejects_is_refused_and_not_offered_again() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    wanted = [track("p/1"), track("p/2", h264("640034"))]
    offer = negotiation.offer(wanted)
    assert offer is not None
    accepted = negotiation.accept(1, without_section(answer_of(offer.sdp), "1"))
    assert accepted.refused == {"p/2": "no_common_codec"}
    assert [media.track for media in accepted.sending] == ["p/1"]
    assert negotiation.offer(wanted) is None
    again = negotiation.offer([track("p/1"), track("p/2", VP8)])
    assert again is not None
    assert again.mids == {"0": "p/1", "2": "p/2"}, "a dead m-line comes back under a new mid"
    assert len(parse(again.sdp).media) == 2


def test_a_client_may_decline_a_track() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    offer = negotiation.offer([track("p/1"), track("p/2")])
    assert offer is not None
    answer = answer_of(offer.sdp)
    cut = answer.rindex("a=recvonly")
    accepted = negotiation.accept(1, answer[:cut] + answer[cut:].replace("a=recvonly", "a=inactive"))
    assert accepted.refused == {"p/2": "declined"}


def test_a_client_may_number_a_codec_its_own_way() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    offer = negotiation.offer([track("p/1")])
    assert offer is not None
    answer = answer_of(offer.sdp)
    for old, new in (("96", "120"), ("97", "121")):
        answer = answer.replace(f":{old} ", f":{new} ").replace(f"={old}\r", f"={new}\r")
    accepted = negotiation.accept(1, answer.replace("SAVPF 96 97", "SAVPF 120 121"))
    assert (accepted.sending[0].payload_type, accepted.sending[0].rtx_payload_type) == (120, 121)


def test_each_codec_configuration_has_one_payload_type_in_the_bundle() -> None:
    codecs = [VP8, h264("42e01f"), h264("64001f"), h264("42e028"), VP8, Codec(98, "VP9", 90000), OPUS]
    negotiation = SubscriberNegotiation(LOCAL)
    offer = negotiation.offer([track(f"p/{index}", codec) for index, codec in enumerate(codecs)])
    assert offer is not None
    seen: dict[str, tuple[str, str]] = {}
    for section in parse(offer.sdp).media:
        for value in section.attributes.all("rtpmap"):
            payload, _, encoding = value.partition(" ")
            formats = dict(line.split(" ", 1) for line in section.attributes.all("fmtp"))
            assert seen.setdefault(payload, (encoding, formats.get(payload, ""))) == (
                encoding,
                formats.get(payload, ""),
            )
    assert len(seen) == 11


def test_more_tracks_than_m_lines_are_refused_until_there_is_room() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    wanted = [track(f"p/{index}") for index in range(33)]
    offer = negotiation.offer(wanted)
    assert offer is not None
    assert len(offer.mids) == 32
    assert offer.refused == {"p/32": "too_many_tracks"}
    negotiation.accept(1, answer_of(offer.sdp))
    assert negotiation.offer(wanted) is None
    fewer = negotiation.offer(wanted[1:])
    assert fewer is not None
    negotiation.accept(2, answer_of(fewer.sdp))
    more = negotiation.offer(wanted[1:])
    assert more is not None
    assert more.mids["0"] == "p/32"


def test_an_ice_restart_offers_the_same_tracks_with_new_credentials() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    wanted = [track("p/1")]
    negotiation.offer(wanted)
    offer = negotiation.offer(wanted, replace(LOCAL, ufrag="fresh", password="f" * 24))
    assert offer is not None
    assert offer.generation == 2
    assert "a=ice-ufrag:fresh\r\n" in offer.sdp


def test_names_of_other_clients_cannot_break_out_of_their_line() -> None:
    hostile = WantedTrack("p/1\r\na=setup:active", "video", VP8, "x y\nz", 1, 2, "c\r\nm=audio")
    offer = SubscriberNegotiation(LOCAL).offer([hostile])
    assert offer is not None
    assert len(parse(offer.sdp).media) == 1
    assert "a=msid:x-y-z p-1--a-setup-active\r\n" in offer.sdp


def test_an_answer_to_another_offer_is_invalid() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    offer = negotiation.offer([track("p/1")])
    other = SubscriberNegotiation(LOCAL).offer([track("p/1"), track("p/2")])
    assert offer is not None
    assert other is not None
    with pytest.raises(SdpError, match="m-lines") as caught:
        negotiation.accept(1, answer_of(other.sdp))
    assert caught.value.kind == "sdp_invalid"


# --- players


def test_a_player_gets_the_first_track_of_each_kind_under_its_own_payload_types() -> None:
    wanted = [track("p/0", OPUS), track("p/1", h264("42e01f")), track("p/2")]
    answer = answer_player(vector("chromium-play"), LOCAL, wanted)
    assert [(media.mid, media.track, media.payload_type) for media in answer.sending] == [
        ("0", "p/0", 111),
        ("1", "p/1", 108),
    ]
    assert answer.refused == {"p/2": "no_media_line"}
    assert "a=setup:passive" in answer.sdp
    assert "a=ssrc-group:FID 1000 1001" in answer.sdp


def test_a_player_that_can_number_packets_does() -> None:
    answer = answer_player(vector("chromium-play"), LOCAL, [track("p/0", OPUS), track("p/1")])
    assert all(TRANSPORT_SEQUENCE in media.extensions for media in answer.sending)
    video = answer.sdp.partition("m=video")[2]
    assert "transport-cc" in video
    assert "goog-remb" not in video
    other = answer_player(vector("aiortc-play"), LOCAL, [track("p/1")])
    assert "transport" not in other.sdp
    assert TRANSPORT_SEQUENCE not in other.sending[0].extensions


def test_an_answer_without_the_feedback_numbers_nothing() -> None:
    negotiation = SubscriberNegotiation(LOCAL)
    offer = negotiation.offer([track("p/1")])
    assert offer is not None
    assert "transport-cc" in offer.sdp
    answer = offer.sdp.replace("a=setup:actpass", "a=setup:active").replace("a=sendonly", "a=recvonly")
    answer = answer.replace("a=ice-lite\r\n", "")
    answer = re.sub(r"a=rtcp-fb:\d+ transport-cc\r\n", "", answer)
    [sending] = negotiation.accept(offer.generation, answer).sending
    assert TRANSPORT_SEQUENCE not in sending.extensions


def test_a_player_whose_line_has_no_track_keeps_it_inactive() -> None:
    answer = answer_player(vector("aiortc-play"), LOCAL, [track("p/1"), track("p/2", h264("64001f"))])
    assert [media.track for media in answer.sending] == ["p/1"]
    oracle = SessionDescription.parse(answer.sdp)
    assert [section.direction for section in oracle.media] == ["inactive", "sendonly"]


def test_a_player_that_can_decode_nothing_is_told_so() -> None:
    with pytest.raises(SdpError) as caught:
        answer_player(vector("aiortc-play"), LOCAL, [track("p/1", Codec(98, "VP9", 90000))])
    assert caught.value.kind == "no_common_codec"
