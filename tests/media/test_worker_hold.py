"""A picture whose last packet never comes is sent on all the same, by the worker's own timer."""

import asyncio

import pytest

from media import rtp
from tests.bench.servers import running_lamproom
from tests.fakes.loadpeer import VIDEO, Identity, LoadPeer, connect


@pytest.mark.parametrize("forwarder", ["python", "auto"])
async def test_packets_do_not_wait_long_for_a_last_one(forwarder: str) -> None:
    identity, address = Identity(), "127.0.0.1"
    async with running_lamproom(address, forwarder) as server:
        publisher = LoadPeer(identity, address, controlling=True)
        await server.publish(publisher, 7)
        connect([publisher])
        viewer = LoadPeer(identity, address, controlling=True)
        await server.subscribe(viewer)
        connect([viewer])
        head = bytes((0x10, 0x00, 0)) + bytes(60)  # a key frame begins
        packet = rtp.pack(head, payload_type=VIDEO, sequence=1, timestamp=9, ssrc=7, marker=False)
        publisher.send_protected(publisher.protect(packet))
        async with asyncio.timeout(30):
            while not viewer.counters.packets:
                await asyncio.sleep(0.01)
                viewer.poll()
        assert viewer.counters.packets == 1
        publisher.close()
        viewer.close()
