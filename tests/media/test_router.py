"""Who gets which track."""

from media.router import Connect, Disconnect, Router, Update
from media.rtpparameters import SendingMedia


def sending(track: str, mid: str = "0", payload_type: int = 96) -> SendingMedia:
    return SendingMedia(mid, track, payload_type, None, {})


def test_a_track_flows_once_it_is_published_wanted_and_agreed_upon() -> None:
    router = Router()
    assert router.want("v", ["a/0"]) == ((), ("a/0",), [])
    assert router.publish("a/0") == []
    assert router.want("v", ["a/0"]) == (("a/0",), (), [])
    assert router.agree("v", [sending("a/0")]) == [Connect("v", sending("a/0"))]
    assert router.watchers("a/0") == ("v",)


def test_what_is_no_longer_wanted_stops_before_any_answer() -> None:
    router = Router()
    for track in ("a/0", "a/1"):
        router.publish(track)
    router.want("v", ["a/0", "a/1"])
    router.agree("v", [sending("a/0"), sending("a/1", "1")])
    assert router.want("v", ["a/1"])[2] == [Disconnect("v", "a/0")]


def test_a_track_that_was_taken_off_the_list_comes_back_only_by_a_new_agreement() -> None:
    router = Router()
    router.publish("a/0")
    router.want("v", ["a/0"])
    router.agree("v", [sending("a/0")])
    router.want("v", [])
    assert router.want("v", ["a/0"])[2] == []
    assert router.agree("v", [sending("a/0", "1")]) == [Connect("v", sending("a/0", "1"))]


def test_a_track_that_ends_stops_for_everybody_and_may_come_back() -> None:
    router = Router()
    router.publish("a/0")
    for peer in ("v", "w"):
        router.want(peer, ["a/0"])
        router.agree(peer, [sending("a/0")])
    assert router.unpublish("a/0") == [Disconnect("v", "a/0"), Disconnect("w", "a/0")]
    assert router.publish("a/0") == [Connect("v", sending("a/0")), Connect("w", sending("a/0"))]


def test_a_new_agreement_updates_what_flows() -> None:
    router = Router()
    router.publish("a/0")
    router.want("v", ["a/0"])
    router.agree("v", [sending("a/0")])
    assert router.agree("v", [sending("a/0")]) == []
    assert router.agree("v", [sending("a/0", payload_type=97)]) == [Update("v", sending("a/0", payload_type=97))]


def test_a_track_that_the_answer_leaves_out_stops() -> None:
    router = Router()
    router.publish("a/0")
    router.want("v", ["a/0"])
    router.agree("v", [sending("a/0")])
    assert router.agree("v", []) == [Disconnect("v", "a/0")]


def test_leaving_ends_all() -> None:
    router = Router()
    router.publish("a/0")
    router.want("v", ["a/0"])
    router.agree("v", [sending("a/0")])
    assert router.leave("v") == [Disconnect("v", "a/0")]
    assert router.publish("a/1") == []
    assert router.watchers("a/0") == ()
