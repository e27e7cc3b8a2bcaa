"""Two media workers: rooms on each, a viewer of both, and one that is killed."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio
from aiortc.mediastreams import AudioStreamTrack

from signaling.room import messages as m
from tests.fakes.instance import Instance
from tests.fakes.mediaserver import MovingPicture
from tests.fakes.people import People, people

__all__ = ["people"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    async with Instance(tmp_path_factory.mktemp("server"), media={"workers": 2, "udp_port": 0}) as running:
        yield running


def port(sdp: str) -> int:
    found = re.search(r"a=candidate:\S+ 1 udp \d+ \S+ (\d+)", sdp)
    assert found is not None
    return int(found.group(1))


async def test_a_viewer_of_two_rooms_gets_the_tracks_of_both_workers(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    county = await people.enter("county", "site:county")
    _, seen = await people.publish(mine, "site:hongqi", "dispatch-room", MovingPicture())
    _, said = await people.publish(county, "site:county", "desk", AudioStreamTrack())
    assert port(seen.sdp) != port(said.sdp)
    viewer = await people.enter("county", "site:hongqi", "site:county")
    # It goes where the first track is; the other one is piped.
    for tracks in ((said, seen), (seen, said)):
        screen = await people.watch(viewer, *(track for one in tracks for track in one.tracks.values()))
        assert port(screen.connection.remoteDescription.sdp) == port(tracks[0].sdp)
        assert len(await screen.frames("video", 5)) == 5
        assert len(await screen.frames("audio", 5)) == 5
        await viewer.send(m.Watch(id="none", tracks=(), fresh=True))
        await viewer.hear(m.Watched, lambda one: one.id == "none")
        viewer.heard.clear()


async def test_a_worker_that_is_killed_takes_its_rooms_only_and_comes_back(people: People, server: Instance) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    county = await people.enter("county", "site:county", "site:hongqi")
    _, seen = await people.publish(mine, "site:hongqi", "steady", MovingPicture())
    _, said = await people.publish(county, "site:county", "desk", AudioStreamTrack())
    here = await people.enter("dispatcher", "site:hongqi")
    screen = await people.watch(here, *seen.tracks.values())
    await screen.frames("video", 3)
    workers = [child for child in psutil.Process(server.pid).children() if "media.worker" in " ".join(child.cmdline())]
    assert len(workers) == 2
    [victim] = [one for one in workers if port(said.sdp) in [each.laddr.port for each in one.net_connections("udp")]]
    os.kill(victim.pid, signal.SIGKILL)
    await county.hear(m.MediaState, lambda one: (one.peer, one.reason) == ("publish", "media_down"))
    assert len(await screen.frames("video", 10)) == 10
    async with asyncio.timeout(10):
        await server.until_ready()
    assert not [one for one in mine.heard if isinstance(one, m.MediaState) and one.state == "closed"]
    _, again = await people.publish(county, "site:county", "desk-again", AudioStreamTrack())
    assert port(again.sdp) == port(said.sdp)
    both = await people.watch(county, *seen.tracks.values())
    assert len(await both.frames("video", 5)) == 5
