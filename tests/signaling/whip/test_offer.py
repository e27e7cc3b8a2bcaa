"""SDP lines that the WHIP door reads."""

import pytest

from signaling.whip.offer import (
    Fragment,
    FragmentError,
    credentials,
    fragment_of,
    offered,
    parse_fragment,
    with_credentials,
)

OFFER = "\r\n".join(
    [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789012345678901",
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        "a=mid:1",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789012345678901",
        "",
    ]
)


def test_mids_come_with_their_kind_in_order() -> None:
    assert list(offered(OFFER).items()) == [("0", "audio"), ("1", "video")]


def test_an_offer_of_nothing_offers_nothing() -> None:
    assert offered("v=0\r\na=mid:0\r\n") == {}


def test_new_credentials_replace_the_old_ones_on_every_m_line() -> None:
    changed = with_credentials(OFFER, Fragment("wxyz", "p" * 22))
    assert "abcd" not in changed
    assert changed.count("a=ice-ufrag:wxyz") == 2
    assert credentials(changed) == Fragment("wxyz", "p" * 22)


def test_a_fragment_with_candidates_alone_brings_no_credentials() -> None:
    assert parse_fragment("a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n") is None


def test_a_fragment_of_neither_is_refused() -> None:
    with pytest.raises(FragmentError):
        parse_fragment("hello")


def test_the_answer_to_a_restart_holds_our_credentials_and_candidates() -> None:
    answer = OFFER.replace("t=0 0", "t=0 0\r\na=ice-lite").replace(
        "a=mid:0", "a=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 5 typ host\r\na=end-of-candidates"
    )
    fragment = fragment_of(answer)
    assert fragment.splitlines()[:3] == ["a=ice-lite", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0"]
    assert "a=candidate:1" in fragment
    assert credentials(fragment) == Fragment("abcd", "0123456789012345678901")
