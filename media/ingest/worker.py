"""The ingest process: `python -m media.ingest.worker --fd N`, where N is a socket to the server.

It fetches cameras and hands their packets to the media worker, so that a demultiplexer that breaks, hangs or eats
memory never hurts what people say and see. One thread per camera waits for packets, most of the time outside the
interpreter; the main one runs an event loop for the link. The process ends when its link closes.
"""

import asyncio
import contextlib
import signal
import time
from ipaddress import ip_network

import av.logging
import structlog
from pydantic import BaseModel

from media.childprocess import fd_of_arguments, run_process, serve_link
from media.ingest.address import Policy
from media.ingest.messages import COMMANDS, Add, AnyCommand, Attach, Beat, Configure, Detach, Ready, Remove
from media.ingest.puller import Puller
from media.link import Link

log = structlog.get_logger()

BEAT_S = 1.0
MAX_CAMERAS = 500


class Ingest:
    """All cameras of this process."""

    def __init__(self, link: Link[AnyCommand], policy: Policy) -> None:
        self._link = link
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._pullers: dict[str, Puller] = {}
        self._closed = False

    async def run(self) -> None:
        """Serve until the link closes.

        Raises:
            LinkError: the server sent what is no message.
        """
        self._link.send(Ready())
        beating = asyncio.create_task(self._beat())
        try:
            while (command := await self._link.receive()) is not None:
                self._do(command)
        finally:
            self._closed = True
            beating.cancel()
            await asyncio.wait([beating])
            for puller in self._pullers.values():
                puller.stop()

    def _do(self, command: AnyCommand) -> None:
        match command:
            case Add():
                self._add(command)
            case Remove():
                if (puller := self._pullers.pop(command.camera, None)) is not None:
                    puller.stop()
            case Attach():
                if (puller := self._pullers.get(command.camera)) is not None:
                    puller.attach(command)
            case Detach():
                if (puller := self._pullers.get(command.camera)) is not None:
                    puller.detach()
            case Configure():
                log.warning("configured_twice")

    def _add(self, add: Add) -> None:
        if (known := self._pullers.pop(add.camera, None)) is not None:
            known.stop()
        if len(self._pullers) >= MAX_CAMERAS:
            log.error("too_many_cameras", camera=add.camera, limit=MAX_CAMERAS)
            return
        puller = self._pullers[add.camera] = Puller(
            add, self._policy, lambda message: self._from_thread(puller, message)
        )
        puller.start()

    def _from_thread(self, puller: Puller, message: BaseModel) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: this process is about to end
            self._loop.call_soon_threadsafe(self._tell, puller, message)

    def _tell(self, puller: Puller, message: BaseModel) -> None:
        """In the loop's thread. What a camera says that was removed or replaced meanwhile is nothing any more."""
        if not self._closed and self._pullers.get(puller.add.camera) is puller:
            self._link.send(message)

    async def _beat(self) -> None:
        while True:
            self._link.send(Beat(cameras=len(self._pullers), cpu_s=round(time.process_time(), 3)))
            await asyncio.sleep(BEAT_S)


async def _work(link: Link[AnyCommand], first: Configure) -> int:
    policy = Policy(tuple(map(ip_network, first.allow)), tuple(map(ip_network, first.deny)))
    await Ingest(link, policy).run()
    return 0


def main() -> None:
    fd = fd_of_arguments(__doc__)
    av.logging.set_level(None)  # its messages would show addresses with passwords
    run_process(lambda: serve_link(fd, COMMANDS, Configure, _work), ignored=(signal.SIGINT, signal.SIGTERM))


if __name__ == "__main__":
    main()
