"""People at a real server: logged in, in rooms, publishing and watching by aiortc."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest_asyncio
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from signaling.room import messages as m
from tests.fakes.instance import Instance
from tests.fakes.mediaserver import new_connection
from tests.fakes.roomclient import RoomClient


class People:
    """Logged-in people, closed at the end."""

    def __init__(self, server: Instance) -> None:
        self._server = server
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._clients: list[RoomClient] = []
        self._connections: list[RTCPeerConnection] = []

    async def http(self, login: str) -> aiohttp.ClientSession:
        if login not in self._sessions:
            self._sessions[login] = await self._server.session(login)
        return self._sessions[login]

    async def enter(self, login: str, *rooms: str, **more: object) -> RoomClient:
        client = RoomClient(await self.http(login))
        self._clients.append(client)
        await client.connect(*rooms, **more)
        await client.hear(m.Joined, lambda one: one.room == rooms[-1])
        return client

    def connection(self) -> RTCPeerConnection:
        made = new_connection()
        self._connections.append(made)
        return made

    async def publish(
        self, client: RoomClient, room: str, name: str, *tracks: MediaStreamTrack
    ) -> tuple[RTCPeerConnection, m.Published]:
        """Publish tracks into one room under one name."""
        connection = self.connection()
        for track in tracks:
            connection.addTrack(track)
        await connection.setLocalDescription(await connection.createOffer())
        publications = {
            str(one.mid): m.Publication(
                source="camera" if one.kind == "video" else "microphone", name=name, rooms=(room,)
            )
            for one in connection.getTransceivers()
        }
        sdp = connection.localDescription.sdp
        await client.send(m.Publish(id=f"publish-{name}", sdp=sdp, publications=publications))
        published = await client.hear(m.Published, lambda one: one.id == f"publish-{name}")
        await connection.setRemoteDescription(RTCSessionDescription(published.sdp, "answer"))
        return connection, published

    async def watch(self, client: RoomClient, *tracks: str) -> "Screen":
        """Watch tracks; answers the offer."""
        screen = Screen(client, self.connection())
        await screen.watch(*tracks)
        return screen

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        for connection in self._connections:
            await connection.close()
        for session in self._sessions.values():
            await session.close()


class Screen:
    """A watching peer."""

    def __init__(self, client: RoomClient, connection: RTCPeerConnection) -> None:
        self.client = client
        self.connection = connection
        self.arrived: dict[str, MediaStreamTrack] = {}
        """By kind."""
        self._news = asyncio.Event()
        connection.on("track", self._on_track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self.arrived[track.kind] = track
        self._news.set()

    async def watch(self, *tracks: str) -> m.Offer:
        known = len(self._offers())
        await self.client.send(m.Watch(id="watch", tracks=tracks))
        await self.client.hear(m.Offer, lambda _: len(self._offers()) > known)
        offer = self._offers()[-1]
        await self.connection.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        sdp = self.connection.localDescription.sdp
        await self.client.send(m.Answer(generation=offer.generation, sdp=sdp))
        return offer

    def _offers(self) -> list[m.Offer]:
        return [one for one in self.client.heard if isinstance(one, m.Offer)]

    async def frames(self, kind: str, count: int, timeout_s: float = 20.0) -> list[Any]:
        """Decoded frames of the newest track of this kind."""
        async with asyncio.timeout(timeout_s):
            while kind not in self.arrived:
                self._news.clear()
                await self._news.wait()
            return [await self.arrived[kind].recv() for _ in range(count)]


async def whip(
    connection: RTCPeerConnection, http: aiohttp.ClientSession, url: str, token: str
) -> tuple[int, Mapping[str, str], str]:
    """Offer by WHIP; answers status, headers and body, and takes the answer when it is one."""
    await connection.setLocalDescription(await connection.createOffer())
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"}
    async with http.post(url, data=connection.localDescription.sdp, headers=headers) as answer:
        body = await answer.text()
        if answer.status == 201:
            await connection.setRemoteDescription(RTCSessionDescription(body, "answer"))
        return answer.status, answer.headers, body


@pytest_asyncio.fixture(loop_scope="module")
async def people(server: Instance) -> AsyncIterator[People]:
    """Of the module's `server`; a module that imports it names it in `__all__`."""
    them = People(server)
    yield them
    await them.close()
