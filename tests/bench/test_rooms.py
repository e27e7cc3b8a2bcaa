"""A scene of rooms runs as a whole, small. What it costs is not asserted."""

import pytest

from tests.bench.rooms import Joined, Ran, Scene, judged
from tests.bench.servers import running_lamproom


@pytest.mark.timeout(120)
async def test_everybody_in_a_room_gets_what_the_others_send() -> None:
    async with running_lamproom("127.0.0.1", "auto") as server:
        scene = Scene(server)
        await scene.publish(3)
        others = [tuple(track for track in scene.tracks if track != own) for own in scene.tracks]
        joined = await scene.watch(others)
        assert (joined.viewers, joined.failed, scene.watched) == (3, 0, 6)
        ran = await scene.run("consultation", 2, 10, 0.5)
        assert ran.packets_out >= ran.packets_in  # two get each, and no more than half is lost
        assert ran.cpu_us_per_packet > 0
        for peer in (*scene.viewers, *(each.peer for each in scene.publishers)):
            peer.close()
        goals = judged(joined, ran)
    assert goals[0].ok
    assert len(goals) == (4 if ran.cpu_load <= 0.5 else 1)


def test_what_a_busy_machine_spoiled_is_marked() -> None:
    ran = Ran("rooms", 1, 2, 10, 20, 0.0, 0.1, 5.0, 1.0, 9.0, 1.0, 0.5, 0.5, disturbed=True)
    goals = judged(Joined(2, 0, 1.0, 1.0, 1.0), ran)
    assert all("disturbed" in goal.name for goal in goals)
    assert [goal.ok for goal in goals] == [True, True, False, True]
