"""From what a subscriber shows and what its line carries to what its route sends."""

from collections.abc import Iterator

import pytest

from media.arrangement import Arrangement
from media.messages import View
from media.rtpparameters import SendingMedia
from media.subscription import Subscription, new_wanted
from tests.fakes.stage import HIGH, LOW, ROUTE, VOICE, VOICE_ROUTE, Stage
from tests.media.test_incoming import track


class Scene:
    def __init__(self) -> None:
        self.stage = Stage()
        self.wished: list[int] = []
        self.camera = track(LOW, HIGH)
        low, high = self.camera.encodings
        low.flows = high.flows = True
        low.bitrate_bps, high.bitrate_bps = 150_000, 1_500_000
        media = SendingMedia("0", "camera/0", 100, None, {})
        self.subscription = Subscription(self.camera, media, new_wanted(self.camera, "x"), ROUTE)
        self.arrangement = Arrangement(self.stage.forwarder, self.wished.append)
        self.stage.both(1, key=(LOW, HIGH))

    def arrange(self, height: int | None, budget: float | None = None, *, congested: bool = False) -> None:
        self.arrangement.views = {} if height is None else {"camera/0": View(height=height)}
        self.arrangement.arrange({"camera/0": self.subscription}, budget, congested=congested)

    @property
    def route(self) -> tuple[int, int, bool]:
        route = self.stage.forwarder.route(ROUTE)
        return route.source, route.switching, route.paused


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.stage.close()


def test_a_large_tile_gets_the_large_encoding_at_its_key_frame(scene: Scene) -> None:
    scene.arrange(360)
    assert scene.route == (LOW, 0, False)
    scene.arrange(720)
    scene.arrange(720)
    assert (scene.route, scene.wished) == ((LOW, HIGH, False), [HIGH])
    scene.stage.both(1, key=(HIGH,))
    assert scene.route == (HIGH, 0, False)


def test_a_hidden_tile_gets_nothing_until_it_is_seen(scene: Scene) -> None:
    scene.arrange(0)
    assert (scene.route[2], scene.subscription.target) == (True, None)
    scene.stage.both(30)  # the key frame of before is too old to be shown again
    scene.arrange(180)
    assert scene.route == (LOW, LOW, True)
    scene.stage.both(1, key=(LOW,))
    assert scene.route == (LOW, 0, False)


def test_a_budget_bounds_the_encoding_and_says_what_is_missing(scene: Scene) -> None:
    scene.arrange(None, 800_000)
    assert (scene.route, scene.subscription.target) == ((LOW, 0, False), 0)
    assert scene.arrangement.missing_bps == 1_350_000
    scene.arrange(None, 3_000_000)
    assert (scene.route[1], scene.arrangement.missing_bps) == (HIGH, 0)


def test_far_too_much_stops_at_once(scene: Scene) -> None:
    scene.arrange(None)
    scene.stage.both(1, key=(HIGH,))
    assert scene.route == (HIGH, 0, False)
    scene.arrange(None, 500_000, congested=True)
    assert scene.route == (HIGH, LOW, True)
    scene.stage.both(1, key=(LOW,))
    assert scene.route == (LOW, 0, False)


def test_a_little_too_much_goes_on_until_the_key_frame(scene: Scene) -> None:
    scene.arrange(None)
    scene.stage.both(1, key=(HIGH,))
    scene.arrange(None, 1_350_000)
    assert scene.route == (HIGH, LOW, False)


def test_an_encoding_that_is_not_sent_is_wanted_but_not_waited_for(scene: Scene) -> None:
    scene.camera.encodings[1].flows = False
    scene.arrange(720)
    assert (scene.route, scene.subscription.target) == ((LOW, 0, False), 1)


def test_what_only_flows_above_the_budget_is_not_taken(scene: Scene) -> None:
    scene.camera.encodings[0].flows = False
    scene.arrange(720, 500_000)
    assert scene.route == (LOW, 0, False)


def test_one_that_cannot_carry_even_the_smallest_is_paused(scene: Scene) -> None:
    scene.arrange(720, 50_000, congested=True)
    assert scene.route[2]
    assert scene.arrangement.missing_bps == 150_000


def test_sound_that_nobody_would_hear_is_paused(scene: Scene) -> None:
    info = scene.camera.info.model_copy(update={"track": "mic/0", "kind": "audio", "codec": "opus"})
    mic = track(VOICE)
    mic.info = info
    mic.media = mic.media.__class__("0", "audio", mic.media.codecs, {})
    media = SendingMedia("1", "mic/0", 111, None, {})
    subscription = Subscription(mic, media, new_wanted(mic, "x"), VOICE_ROUTE)
    scene.stage.sound()
    scene.arrangement.silent = frozenset({"mic/0"})
    scene.arrangement.arrange({"mic/0": subscription}, None, congested=False)
    assert scene.stage.forwarder.route(VOICE_ROUTE).paused
    scene.arrangement.silent = frozenset()
    scene.arrangement.arrange({"mic/0": subscription}, None, congested=False)
    scene.stage.sound()
    assert not scene.stage.forwarder.route(VOICE_ROUTE).paused
