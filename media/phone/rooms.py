"""Rooms with phones in them: who hears which tracks, and one frame of everything. No sockets, no clock."""

from collections.abc import Mapping

from media.phone.audio import Samples
from media.phone.leg import Leg
from media.phone.mixer import Mixer
from media.phone.roomtrack import RoomTrack
from media.tap import AccessUnit


class Rooms:
    """A mixer for each room that has a leg. Tracks are decoded once, however many rooms hear them."""

    def __init__(self) -> None:
        self._mixers: dict[str, Mixer] = {}
        self._heard: dict[str, tuple[str, ...]] = {}
        self._tracks: dict[str, RoomTrack] = {}

    def __len__(self) -> int:
        return len(self._mixers)

    @property
    def tracks(self) -> Mapping[str, RoomTrack]:
        return self._tracks

    def join(self, leg: Leg, room: str) -> None:
        """Into this room and out of another."""
        if leg.room != room:
            self.leave(leg)
        leg.room = room
        self._mixers.setdefault(room, Mixer()).add(leg.leg, leg.rate)

    def leave(self, leg: Leg) -> None:
        """Nothing happens to one that is in no room."""
        room, leg.room = leg.room, None
        mixer = self._mixers.get(room) if room is not None else None
        if mixer is None or room is None:
            return
        mixer.remove(leg.leg)
        if not mixer.legs:
            del self._mixers[room]
            self._tidy()

    def changed(self, leg: Leg) -> None:
        """It may have another codec."""
        if leg.room is not None:
            self._mixers[leg.room].add(leg.leg, leg.rate)

    def hear(self, room: str, tracks: tuple[str, ...]) -> None:
        """The whole list of tracks of a room."""
        if tracks:
            self._heard[room] = tracks
        else:
            self._heard.pop(room, None)
        self._tidy()

    def _tidy(self) -> None:
        wanted = {track for room, tracks in self._heard.items() if room in self._mixers for track in tracks}
        for track in [track for track in self._tracks if track not in wanted]:
            del self._tracks[track]

    def unit(self, unit: AccessUnit, now: float) -> None:
        """An access unit of a tap; of a track that nobody hears it is dropped."""
        track = self._tracks.get(unit.track)
        if track is None:
            if not any(unit.track in self._heard.get(room, ()) for room in self._mixers):
                return
            track = self._tracks[unit.track] = RoomTrack()
        track.unit(unit, now)

    def mix(self, said: Mapping[str, Samples], now: float) -> dict[str, Samples]:
        """One frame of all rooms: what each leg in a room hears."""
        for track in self._tracks.values():
            track.advance(now)
        heard: dict[str, Samples] = {}
        for room, mixer in self._mixers.items():
            frames = (
                self._tracks[track].frame(mixer.rate) for track in self._heard.get(room, ()) if track in self._tracks
            )
            own = {leg: said[leg] for leg in mixer.legs if leg in said}
            heard |= mixer.mix(own, [frame for frame in frames if frame is not None])
        return heard
