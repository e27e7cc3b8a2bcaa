"""Which picture a telephone with a screen sees."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from server.conductor import Conductor
from server.phonepictures import picture_for

ROOM = "session:s"


@dataclass(eq=False)
class Someone:
    client: str
    kind: str = "browser"
    speaker: tuple[float, str] | None = None
    rooms: dict[str, Any] = field(default_factory=dict)


def track(name: str, *, kind: str = "video", codec: str = "H264", source: str = "camera", muted: bool = False) -> Any:
    publication = type("Publication", (), {"source": source})
    fields = {
        "track": name, "kind": kind, "codec": codec, "publication": publication, "muted": muted, "silenced": False,
    }  # fmt: skip
    return type("Own", (), fields)


class Room:
    """Stands where a conductor stands."""

    def __init__(self, *tracks: tuple[Someone, Any]) -> None:
        self.tracks = tracks

    def tracks_in(self, room: str) -> list[tuple[Someone, Any]]:
        return list(self.tracks) if room == ROOM else []

    def in_room(self, room: str) -> list[Someone]:
        return [client for client, _ in self.tracks]

    def find_track(self, name: str) -> tuple[Someone, Any] | None:
        return next((one for one in self.tracks if one[1].track == name), None)


def member(name: str, *, kind: str = "browser", subscribe: bool = True) -> Someone:
    grant = type("Grant", (), {"subscribe": subscribe})
    return Someone(name, kind, None, {ROOM: type("Membership", (), {"grant": grant})})


def choice(room: Room, phone: Someone, shown: str = "", selected: str = "") -> str:
    return picture_for(cast("Conductor", room), cast("Any", phone), ROOM, shown, selected)


@pytest.fixture
def people() -> tuple[Room, Someone, Someone]:
    phone, camera, county = member("phone", kind="phone"), member("camera", kind="whip"), member("county")
    room = Room(
        (phone, track("own")), (county, track("county/video")), (county, track("county/sound", kind="audio")),
        (camera, track("desk")), (member("city"), track("vp8", codec="VP8")),
    )  # fmt: skip
    return room, phone, camera


def test_the_camera_of_the_site_is_seen_until_somebody_speaks(people: tuple[Room, Someone, Someone]) -> None:
    room, phone, camera = people
    assert choice(room, phone) == "desk"
    camera.speaker = (1.0, "county/sound")
    assert choice(room, phone, "desk") == "county/video"
    camera.speaker = None
    assert choice(room, phone, "county/video") == "county/video", "it stays where it is when nobody speaks"


def test_a_screen_goes_before_and_what_was_selected_before_all(people: tuple[Room, Someone, Someone]) -> None:
    room, phone, camera = people
    camera.speaker = (1.0, "county/sound")
    room.tracks += ((member("city"), track("screen", source="screen")),)
    assert choice(room, phone, "county/video") == "screen"
    assert choice(room, phone, "screen", "desk") == "desk"
    assert choice(room, phone, "screen", "gone") == "screen"


def test_nothing_is_seen_that_is_muted_or_its_own_or_not_allowed() -> None:
    phone = member("phone", kind="phone")
    assert choice(Room((phone, track("own"))), phone) == ""
    assert choice(Room((member("a"), track("a", muted=True))), phone, "a", "a") == ""
    assert choice(Room((member("a"), track("a"))), member("p", subscribe=False)) == ""
    assert choice(Room((member("a"), track("a"))), Someone("out")) == ""
