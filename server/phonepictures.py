"""Which picture of a room a telephone sees. It has one screen, and nothing is decoded for it: H.264 only."""

from server.clients import Client
from server.conductor import Conductor


def picture_for(conductor: Conductor, phone: Client, room: str, shown: str, selected: str) -> str:
    """A track of the room, "" for none: the one that was selected for this phone, a shared screen, whoever was last
    heard to speak, what it sees already (`shown`), the camera of a site, any."""
    membership = phone.rooms.get(room)
    if membership is None or not membership.grant.subscribe:
        return ""
    found = {
        own.track: (client, own)
        for client, own in conductor.tracks_in(room)
        if client is not phone and own.kind == "video" and own.codec == "H264" and not (own.muted or own.silenced)
    }
    if not found or selected in found:
        return selected if found else ""
    speaker = _speaker(conductor, room)

    def rank(track: str) -> tuple[bool, bool, bool, bool, str]:
        client, own = found[track]
        return (
            own.publication.source != "screen", client.client != speaker, track != shown, client.kind != "whip", track,
        )  # fmt: skip

    return min(found, key=rank)


def _speaker(conductor: Conductor, room: str) -> str:
    """The client that somebody of the room began to hear last."""
    heard = [client.speaker for client in conductor.in_room(room) if client.speaker is not None]
    found = conductor.find_track(max(heard)[1]) if heard else None
    return found[0].client if found is not None else ""
