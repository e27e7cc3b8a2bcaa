"""Phones in rooms, with workers that answer as they are told."""

import pytest

from config.settings import PhoneMediaSettings
from media.phone.messages import Command, Join, Mute, Reply
from server.moderation import Moderation
from server.phonemedia import RETRY_S, PhoneMedia
from tests.fakes.mediastub import People


async def test_a_phone_that_a_moderator_silenced_stays_so_when_the_media_worker_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people, told = People(), list[Command]()
    moderation = Moderation(people.conductor, people.streams, people.sessions)
    people.streams.on_published = moderation.published
    phones = PhoneMedia(PhoneMediaSettings(), people.conductor, people.streams)

    async def request(command: Command) -> Reply:
        told.append(command)
        return Reply(request=0)

    monkeypatch.setattr(phones, "_request", request)
    client = people.client("phone", kind="phone")
    await phones.join("leg", client, "site:mine")
    (joined,) = phones._joined.values()
    await phones._settle(joined, 0.0)
    await moderation.stop(joined.track, True)
    await phones._settle(joined, 0.1)
    assert told[-1] == Mute(leg="leg", muted=True)
    before = len(told)

    people.media.down = True
    people.streams.media_restarted(None)
    await phones._settle(joined, 0.2)
    await phones._settle(joined, 0.4)
    assert told[before:] == []

    people.media.down = False
    await phones._settle(joined, 0.2 + RETRY_S)
    await phones._settle(joined, 0.4 + RETRY_S)
    assert [type(one) for one in told[before:]] == [Join]
    assert client.tracks[joined.track].silenced

    await moderation.stop(joined.track, False)
    await phones._settle(joined, 3.0)
    assert told[-1] == Mute(leg="leg", muted=False)
    await phones.mute("leg", True)
    await phones.join("leg", client, "site:mine")
    await phones._settle(phones._joined["leg"], 4.0)
    assert phones._joined["leg"].told_mute
