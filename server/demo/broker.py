"""The demonstration's MQTT broker: amqtt in a process of its own, on this machine only.

    python -m server.demo.broker --port 1883

It keeps nothing over a restart and admits everybody on this machine; a mine runs a real broker with an access list.
"""

import argparse
import asyncio
import logging
import signal
import sys

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType

READY = "ready"
"""Printed once connections are taken."""


def configuration(port: int) -> BrokerConfig:
    """Loopback only, no status topics, nobody asked for a password."""
    return BrokerConfig(
        listeners={"default": ListenerConfig(type=ListenerType.TCP, bind=f"127.0.0.1:{port}", max_connections=50)},
        plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    )


async def run_broker(port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for how in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(how, stop.set)
    broker = Broker(configuration(port))
    await broker.start()
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    await stop.wait()
    await broker.shutdown()


def main() -> int:
    """Returns an exit status."""
    parser = argparse.ArgumentParser(description="An MQTT broker for the demonstration.")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.ERROR)
    asyncio.run(run_broker(given.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
