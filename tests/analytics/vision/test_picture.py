import numpy as np
import numpy.typing as npt
import pytest

from analytics.vision.picture import FreezeWatch, PictureJudge, edge_share, shrink, zone_mask
from tests.fakes.clips import encode, scene

WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
Image = npt.NDArray[np.uint8]


def lit(image: Image, gain: float) -> Image:
    brighter: Image = np.clip(image.astype(np.float32) * gain, 0, 255).astype(np.uint8)
    return brighter


@pytest.mark.parametrize("size", [(320, 180), (1280, 720), (1920, 1080), (640, 480), (17, 17)])
def test_an_ordinary_scene_is_ok_at_every_size(size: tuple[int, int]) -> None:
    assert PictureJudge(WHOLE).judge(scene(1.0, size=size)) == "ok"


@pytest.mark.parametrize("noise", [0.0, 1.0, 6.0])
def test_noise_neither_makes_nor_hides_a_scene(noise: float) -> None:
    assert PictureJudge(WHOLE).judge(scene(1.0, noise=noise, size=(1280, 720))) == "ok"
    rng = np.random.default_rng(0)
    covered = np.clip(rng.normal(90, noise, (720, 1280, 3)), 0, 255).astype(np.uint8)
    assert PictureJudge(WHOLE).judge(covered) == "blocked"


def test_black_and_white_have_their_names() -> None:
    judge = PictureJudge(WHOLE)
    assert judge.judge(lit(scene(1.0), 0.08)) == "dark"
    assert judge.judge(np.zeros((180, 320, 3), np.uint8)) == "dark"
    assert judge.judge(lit(scene(1.0), 8.0)) == "overexposed"


def test_screens_that_stay_on_do_not_light_a_dark_room() -> None:
    room = lit(scene(1.0), 0.1)
    room[60:100, 100:160] = 240
    assert PictureJudge(WHOLE).judge(room) == "dark"


def test_darkness_in_the_posts_zone_alone_is_darkness() -> None:
    room = scene(1.0)
    room[90:, 160:] = lit(room[90:, 160:], 0.1)
    desk = ((0.5, 0.5), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0))
    assert PictureJudge(WHOLE).judge(room) == "ok"
    assert PictureJudge(desk).judge(room) == "dark"


def test_no_zone_is_no_fault() -> None:
    assert PictureJudge(()).judge(scene(1.0)) == "ok"


def test_a_zone_mask_covers_its_polygon() -> None:
    mask = zone_mask(((0.25, 0.0), (0.75, 0.0), (0.75, 1.0), (0.25, 1.0)), (180, 320))
    assert mask.mean() == pytest.approx(0.5, abs=0.01)
    assert not mask[:, 0].any()
    assert mask[:, 160].all()


def test_edges_are_counted() -> None:
    image = np.full((180, 320, 3), 100, np.uint8)
    assert edge_share(shrink(image)) == 0
    image[:, 160:] = 180
    assert 0.005 < edge_share(shrink(image)) < 0.03


# --- frozen -----------------------------------------------------------------------------------------------------------


def test_the_same_picture_for_ten_seconds_is_frozen_and_not_a_moment_sooner() -> None:
    watch = FreezeWatch()
    frozen_at = None
    for n in range(30):
        watch.take(7, n / 2, key=False)
        if watch.frozen and frozen_at is None:
            frozen_at = n / 2
    assert frozen_at == 10.0


def test_one_change_starts_the_ten_seconds_again() -> None:
    watch = FreezeWatch()
    for n in range(60):
        watch.take(n // 19, n / 2, key=False)
        assert not watch.frozen


def test_three_equal_key_frames_are_frozen_although_the_pictures_between_differ() -> None:
    watch = FreezeWatch()
    for n in range(13):
        key = n % 6 == 0
        watch.take(7 if key else 100 + n, n / 2, key=key)
    assert watch.frozen
    watch.take(8, 9.0, key=True)
    assert not watch.frozen


def test_key_frames_in_quick_succession_prove_nothing_yet() -> None:
    watch = FreezeWatch()
    for n in range(8):
        watch.take(7, n / 2, key=True)
    assert not watch.frozen


def test_a_stall_between_equal_pictures_is_no_freeze() -> None:
    watch = FreezeWatch()
    for start in (0.0, 60.0, 120.0):
        for n in range(8):
            watch.take(7, start + n / 2, key=False)
    assert not watch.frozen


def frozen_after(pictures: list[Image], key_every: int) -> float | None:
    """Seconds at which an H.264 clip of 10 pictures a second counts as frozen."""
    from analytics.decoder import TrackDecoder

    decoder, watch = TrackDecoder("p1/0", "H264"), FreezeWatch()
    for number, unit in enumerate(encode(pictures, "H264", key_every=key_every)):
        for decoded in decoder.feed(unit):
            if decoded.key or number % 5 == 0:
                watch.take(decoded.digest(), decoded.pts_s, decoded.key)
            if watch.frozen:
                return number / 10
    return None


def test_a_frozen_source_behind_a_real_encoder_is_found_within_ten_seconds() -> None:
    at = frozen_after([scene(1.0)] * 140, key_every=20)
    assert at is not None
    assert at <= 10.0


def test_a_still_but_living_scene_behind_a_real_encoder_is_not_frozen() -> None:
    still = scene(1.0, noise=0.0).astype(np.float32)
    rng = np.random.default_rng(5)
    pictures = [np.clip(still + rng.normal(0, 1.0, still.shape), 0, 255).astype(np.uint8) for _ in range(200)]
    assert frozen_after(pictures, key_every=20) is None
