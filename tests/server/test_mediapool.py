"""Several media workers behind one face: where peers go, what is piped, and what a dead worker takes with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection

import pytest
import pytest_asyncio

from config.settings import MediaSettings
from media.messages import (
    AnyCommand,
    Close,
    DoorPass,
    EncodingsWanted,
    KeyframeNeeded,
    Mute,
    NeedKeyframe,
    PeerState,
    Pipe,
    PlainTrack,
    Publish,
    PublishPlain,
    Quality,
    Reply,
    SpeakerChanged,
    Subscribe,
    TrackState,
)
from server.media import MediaDown, MediaRefused
from server.mediapool import MediaPool


class Worker:
    """Answers as a media worker would, and keeps what it was told."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.told: list[AnyCommand] = []
        self.fails: type[AnyCommand] | None = None
        self.meanwhile: dict[type[AnyCommand], Callable[[], None]] = {}
        """What happens while the next such command is answered."""

    async def request(self, command: AnyCommand) -> Reply:
        self.told.append(command)
        await asyncio.sleep(0)
        if (happens := self.meanwhile.pop(type(command), None)) is not None:
            happens()
        if self.fails is not None and isinstance(command, self.fails):
            raise MediaRefused("invalid", "no")
        plain = PlainTrack(mid="0", kind="video", codec="VP8", clock_rate=90_000, payload_type=96, ssrc=1)
        return Reply(
            request=0,
            door=DoorPass(address=f"door{self.index}", token="00") if isinstance(command, PublishPlain) else None,
            plain=plain if isinstance(command, Pipe) else None,
        )

    def of(self, kind: type[AnyCommand]) -> list[AnyCommand]:
        return [one for one in self.told if isinstance(one, kind)]


class Listener:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def peer_changed(self, event: PeerState) -> None:
        self.heard.append(event)

    def track_changed(self, event: TrackState) -> None:
        self.heard.append(event)

    def encodings_wanted(self, event: EncodingsWanted) -> None:
        self.heard.append(event)

    def speaker_changed(self, event: SpeakerChanged) -> None:
        self.heard.append(event)

    def quality(self, event: Quality) -> None:
        self.heard.append(event)

    def media_restarted(self, gone: Collection[str] | None) -> None:
        self.heard.append(set(gone or ()))


class Scene:
    def __init__(self) -> None:
        self.pool = MediaPool(MediaSettings(workers=3, udp_port=9000))
        self.listener = self.pool.listener = Listener()
        self.workers = [Worker(index) for index in range(3)]
        for client, worker in zip(self.pool.workers, self.workers, strict=True):
            client.request = worker.request  # type: ignore[method-assign]

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def publish(self, peer: str, room: str) -> None:
        self.pool.place(peer, room)
        await self.pool.request(Publish(peer=peer, sdp=""))

    async def subscribe(self, peer: str, room: str, *tracks: str) -> None:
        self.pool.place(peer, room)
        await self.pool.request(Subscribe(peer=peer, tracks=tracks))

    def says(self, index: int, event: PeerState | TrackState | Quality | KeyframeNeeded) -> None:
        self.pool.workers[index]._take(event)


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    running = asyncio.ensure_future(scene.pool.run())
    yield scene
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_each_worker_has_its_own_neighbouring_port_and_a_name() -> None:
    settings = [worker._settings for worker in MediaPool(MediaSettings(workers=3, udp_port=9000)).workers]
    assert [one.udp_port for one in settings] == [9000, 9001, 9002]
    assert [one.tcp for one in settings] == [True, True, True]
    shared = MediaPool(MediaSettings(workers=3, udp_port=9000), shares_port=True)
    assert [(one._place, one._tcp_port) for one in shared.workers] == [("0", 9000), ("1", 9000), ("2", 9000)]
    assert len(set(shared.tcp_intakes)) == 3
    assert MediaSettings(workers=3, udp_port=0).udp_ports == (0, 0, 0)
    with pytest.raises(ValueError, match="no room"):
        MediaSettings(workers=3, udp_port=65_534)


async def test_a_room_stays_at_its_worker_and_a_new_one_goes_where_it_is_emptiest(scene: Scene) -> None:
    for peer, room in (("a", "r1"), ("b", "r1"), ("c", "r2"), ("d", "r3"), ("e", "r2"), ("f", "r4")):
        await scene.publish(peer, room)
    assert [scene.pool.home(peer) for peer in "abcdef"] == [0, 0, 1, 2, 1, 2]
    assert [command.peer for command in scene.workers[1].of(Publish)] == ["c", "e"]  # type: ignore[union-attr]
    await scene.pool.request(Mute(track="c/0", muted=True))
    assert scene.workers[1].told[-1] == Mute(track="c/0", muted=True)


async def test_a_track_of_another_worker_is_piped_once_for_all_who_want_it(scene: Scene) -> None:
    await scene.publish("camera", "mine")
    await scene.publish("other", "county")
    await scene.subscribe("v1", "county", "other/0", "camera/0")
    await scene.subscribe("v2", "county", "camera/0")
    home, there = scene.workers[0], scene.workers[1]
    [announced] = there.of(PublishPlain)
    assert isinstance(announced, PublishPlain)
    assert (announced.peer, announced.piped, len(announced.tracks)) == ("camera", True, 1)
    first, last = home.of(Pipe)
    assert isinstance(first, Pipe)
    assert isinstance(last, Pipe)
    assert first.outlets == ()
    assert [(one.door.address, one.ssrc) for one in last.outlets] == [("door1", announced.tracks[0].ssrc)]
    assert not home.of(Subscribe)


async def test_a_pipe_ends_with_the_last_who_wanted_it(scene: Scene) -> None:
    await scene.publish("camera", "mine")
    await scene.publish("other", "county")
    for viewer in ("v1", "v2"):
        await scene.subscribe(viewer, "county", "camera/0")
    await scene.subscribe("v1", "county")
    await scene.settle()
    assert scene.workers[1].of(Close) == []
    await scene.pool.request(Close(peer="v2"))
    await scene.settle()
    assert scene.workers[0].told[-1] == Pipe(track="camera/0")
    assert scene.workers[1].told[-1] == Close(peer="camera")


async def test_what_a_worker_says_of_piped_tracks_is_not_passed_on(scene: Scene) -> None:
    await scene.publish("camera", "mine")
    await scene.publish("other", "county")
    await scene.subscribe("v1", "county", "camera/0")
    scene.says(1, PeerState(peer="camera", state="connected"))
    scene.says(1, TrackState(track="camera/0", peer="camera", state="live"))
    assert scene.listener.heard == []
    live = TrackState(track="camera/0", peer="camera", state="live")
    scene.says(0, live)
    assert scene.listener.heard == [live]


async def test_a_key_frame_is_asked_of_the_worker_that_the_track_is_at(scene: Scene) -> None:
    await scene.publish("other", "county")
    await scene.publish("camera", "mine")
    await scene.subscribe("v1", "county", "camera/0")
    scene.says(0, KeyframeNeeded(track="camera/0", peer="camera"))
    await scene.settle()
    assert scene.workers[1].told[-1] == NeedKeyframe(track="camera/0")
    asked: list[KeyframeNeeded] = []
    scene.pool.on_keyframe_needed = asked.append
    told = len(scene.workers[1].told)
    scene.says(1, KeyframeNeeded(track="camera/0", peer="camera"))
    await scene.settle()
    assert [one.track for one in asked] == ["camera/0"], "where it is at home, whoever hands it in is asked"
    assert len(scene.workers[1].told) == told


async def test_a_dead_worker_takes_its_peers_and_pipes_with_it_and_no_others(scene: Scene) -> None:
    await scene.publish("camera", "mine")
    await scene.publish("other", "county")
    await scene.subscribe("v1", "county", "other/0", "camera/0")
    await scene.subscribe("v0", "mine", "camera/0", "other/0")
    scene.pool.died(1)
    assert scene.listener.heard == [{"other", "v1"}]
    await scene.settle()
    assert Pipe(track="camera/0") in scene.workers[0].told
    assert scene.workers[0].of(Close) == [Close(peer="other")]
    assert scene.pool.generation("v1") != scene.pool.generation("v0")
    await scene.publish("other2", "county")
    assert scene.pool.home("other2") == 1


async def test_a_track_that_ends_is_piped_no_longer(scene: Scene) -> None:
    await scene.publish("camera", "mine")
    await scene.publish("other", "county")
    await scene.subscribe("v1", "county", "camera/0")
    scene.says(0, TrackState(track="camera/0", peer="camera", state="ended"))
    scene.says(0, PeerState(peer="camera", state="closed"))
    await scene.settle()
    assert scene.workers[1].told[-1] == Close(peer="camera")


async def test_a_pipe_that_cannot_be_made_leaves_the_refusal_to_the_worker(scene: Scene) -> None:
    await scene.publish("camera", "mine")
    await scene.publish("other", "county")
    scene.workers[1].fails = PublishPlain
    await scene.subscribe("v1", "county", "camera/0")
    assert len(scene.workers[1].of(Subscribe)) == 1
    scene.workers[1].fails = None
    await scene.subscribe("v1", "county", "camera/0")
    assert len(scene.workers[1].of(PublishPlain)) == 2


async def test_a_viewer_that_ends_while_a_pipe_is_made_leaves_nothing_behind(scene: Scene) -> None:
    await scene.publish("camera", "mine")
    await scene.publish("other", "county")
    scene.workers[0].meanwhile[Pipe] = lambda: scene.says(1, PeerState(peer="v1", state="closed"))
    with pytest.raises(MediaDown, match="ended meanwhile"):
        await scene.subscribe("v1", "county", "camera/0")
    await scene.settle()
    assert scene.workers[1].of(Subscribe) == []
    assert scene.workers[0].told[-1] == Pipe(track="camera/0")
    assert scene.workers[1].told[-1] == Close(peer="camera")
    assert scene.pool._piped == {}


@pytest.mark.parametrize("kind", [Subscribe, Publish])
async def test_a_peer_whose_end_crosses_a_command_is_closed_where_it_was(
    scene: Scene, kind: type[Subscribe] | type[Publish]
) -> None:
    await scene.publish("camera", "mine")
    await scene.publish("other", "county")
    await scene.subscribe("v1", "county", "other/0")
    peer = "v1" if kind is Subscribe else "other"
    scene.workers[1].meanwhile[kind] = lambda: scene.says(1, PeerState(peer=peer, state="closed"))
    with pytest.raises(MediaDown, match="ended meanwhile"):
        await scene.pool.request(
            Subscribe(peer=peer, tracks=("camera/0",)) if kind is Subscribe else Publish(peer=peer, sdp="")
        )
    await scene.settle()
    assert Close(peer=peer, reason="removed") in scene.workers[1].told
    assert scene.pool._piped == {}


async def test_without_workers_nothing_is_served() -> None:
    pool = MediaPool(MediaSettings(workers=2, udp_port=0))
    assert not pool.serves
    assert pool.beat is None
    with pytest.raises(MediaDown):
        await pool.request(Publish(peer="a", sdp=""))
