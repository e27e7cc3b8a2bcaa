"""What a moderator stops by hand stays stopped."""

import pytest

from media.messages import Mute, TrackState
from server.moderation import Moderation
from tests.fakes.mediastub import People


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def moderation(people: People) -> Moderation:
    moderation = Moderation(people.conductor, people.streams, people.sessions)
    people.streams.on_published = moderation.published
    return moderation


async def test_a_stopped_microphone_stays_stopped_when_another_peer_publishes_it(
    people: People, moderation: Moderation
) -> None:
    client = people.client("a")
    first = await people.publish(client)
    await moderation.stop(first, True)
    second = await people.publish(client, fresh=True)
    assert second != first
    assert people.media.told[-1] == Mute(track=second, muted=True)
    assert client.tracks[second].silenced
    await moderation.stop(second, False)
    third = await people.publish(client, fresh=True)
    assert not client.tracks[third].silenced


async def test_a_stopped_microphone_stays_stopped_when_its_track_begins_anew(
    people: People, moderation: Moderation
) -> None:
    client = people.client("a")
    track = await people.publish(client)
    await moderation.stop(track, True)
    ended = TrackState(track=track, peer=track.rpartition("/")[0], state="ended")
    people.media.meanwhile = lambda: people.streams.track_changed(ended)
    assert await people.publish(client) == track
    assert people.media.told[-1] == Mute(track=track, muted=True)
    assert client.tracks[track].silenced


async def test_a_track_that_the_worker_kept_muted_can_be_heard_again(people: People, moderation: Moderation) -> None:
    client = people.client("a")
    people.media.mutes = True
    track = await people.publish(client)
    assert people.media.told[-1] == Mute(track=track, muted=False)
    assert not client.tracks[track].silenced


async def test_stopping_one_source_leaves_the_other_sources_of_the_client(
    people: People, moderation: Moderation
) -> None:
    client = people.client("a")
    await moderation.stop(await people.publish(client), True)
    camera = await people.publish(client, "camera", fresh=True)
    assert not client.tracks[camera].silenced
    await people.conductor.remove(client)
    await moderation.apply("site:mine")
    assert moderation._stopped == set()
