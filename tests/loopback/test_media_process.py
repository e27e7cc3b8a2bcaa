"""The worker as a process of its own: it serves its link and ends with it."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from media.link import Link
from media.messages import ANSWERS, AnyAnswer, Beat, Configure, GetStatistics, Refused, Reply, Subscribe

Process = asyncio.subprocess.Process


@asynccontextmanager
async def worker_process() -> AsyncIterator[tuple[Link[AnyAnswer], Process]]:
    ours, theirs = socket.socketpair()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "media.worker", "--fd", str(theirs.fileno()), pass_fds=(theirs.fileno(),)
    )
    theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    try:
        yield Link[AnyAnswer](reader, writer, ANSWERS), process
    finally:
        writer.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answer(link: Link[AnyAnswer]) -> Reply | Refused:
    while True:
        message = await asyncio.wait_for(link.receive(), 10)
        if isinstance(message, Reply | Refused):
            return message


def configure(**settings: Any) -> Configure:
    return Configure(request=1, settings={"udp_port": 0, **settings})


async def test_it_starts_serves_and_ends_when_the_link_closes() -> None:
    async with worker_process() as (link, process):
        link.send(configure())
        started = await answer(link)
        assert isinstance(started, Reply)
        assert started.started is not None
        assert started.started.udp_port > 0
        assert started.started.addresses[0] == "127.0.0.1"
        assert started.started.fingerprint.startswith("sha-256 ")
        link.send(Subscribe(request=2, peer="viewer", tracks=()))
        assert (await answer(link)).request == 2
        beat = await asyncio.wait_for(link.receive(), 5)
        while not isinstance(beat, Beat):
            beat = await asyncio.wait_for(link.receive(), 5)
        assert "packets_in" in beat.counters
        link.close()
        assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_it_ends_on_sigterm() -> None:
    async with worker_process() as (link, process):
        link.send(configure())
        await answer(link)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_it_advertises_every_local_address_for_the_wildcard() -> None:
    async with worker_process() as (link, _):
        link.send(configure(listen_host="0.0.0.0"))
        started = await answer(link)
        assert isinstance(started, Reply)
        assert started.started is not None
        assert started.started.addresses[-1] == "127.0.0.1"
        assert "0.0.0.0" not in started.started.addresses


@pytest.mark.parametrize("settings", [{"udp_port": -5}, {"listen_host": "192.0.2.77"}, {"unknown": 1}])
async def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    async with worker_process() as (link, _):
        link.send(configure(**settings))
        refused = await answer(link)
        assert isinstance(refused, Refused)
        assert refused.error == "invalid"


async def test_commands_before_the_settings_are_refused() -> None:
    async with worker_process() as (link, _):
        link.send(GetStatistics(request=7))
        refused = await answer(link)
        assert isinstance(refused, Refused)
        assert refused.request == 7


async def test_bytes_that_are_no_message_end_it_with_an_error() -> None:
    ours, theirs = socket.socketpair()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "media.worker",
        "--fd",
        str(theirs.fileno()),
        pass_fds=(theirs.fileno(),),
        stderr=asyncio.subprocess.PIPE,
    )
    theirs.close()
    os.write(ours.fileno(), b"\xff" * 16)
    _, errors = await asyncio.wait_for(process.communicate(), 10)
    ours.close()
    assert process.returncode == 1
    assert b"Traceback" not in errors
    assert b"longer than" in errors
