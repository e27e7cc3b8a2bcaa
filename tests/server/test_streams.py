"""What is booked of a worker's answers."""

import pytest

from media.messages import PeerState
from server.streams import StreamError
from signaling.room.messages import Watch
from tests.fakes.mediastub import People


async def test_a_watching_peer_whose_end_crosses_a_command_is_not_kept() -> None:
    people = People()
    track = await people.publish(people.client("a"), "camera")
    viewer = people.client("b")
    await people.streams.watch(viewer, Watch(id="1", tracks=(track,)))
    peer = viewer.watch_peer
    assert peer is not None
    people.media.meanwhile = lambda: people.streams.peer_changed(PeerState(peer=peer, state="closed"))
    with pytest.raises(StreamError, match="ended meanwhile"):
        await people.streams.watch(viewer, Watch(id="2", tracks=()))
    assert viewer.watch_peer is None
    assert people.streams._to_close == [peer]
    await people.streams.watch(viewer, Watch(id="3", tracks=(track,)))
    assert viewer.watch_peer not in (None, peer)


async def test_a_publishing_peer_whose_end_crosses_a_command_is_not_kept() -> None:
    people = People()
    client = people.client("a")
    peer = (await people.publish(client)).rpartition("/")[0]
    people.media.meanwhile = lambda: people.streams.peer_changed(PeerState(peer=peer, state="closed"))
    with pytest.raises(StreamError, match="ended meanwhile"):
        await people.publish(client)
    assert client.publish_peer is None
    assert client.tracks == {}
    assert people.streams._to_close == [peer]
