"""Power meters over Modbus TCP: asked in turn, each in its own interval.

One connection per gateway (address and port), whose meters are asked one after the other, as the wire behind it wants.
A meter that does not answer is asked more and more rarely, so that it does not slow its neighbours; a poll that comes
late is left out, not caught up. The meter has no clock: a sample is of the moment between question and answer.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from analytics.errors import SourceRefused
from analytics.plugin import Batch, Reading
from analytics.telemetry.gathering import Gathering, keep_connected
from analytics.telemetry.links import Link, Links, Patience, Told
from analytics.telemetry.modbusprofile import BUILT_IN, Block, decode, plan
from analytics.telemetry.payload import QUANTITIES, Parsed, Reason, Rejected
from analytics.telemetry.quarantine import Counters
from config.settings import ModbusMeterSettings, ModbusSettings

log = logging.getLogger(__name__)

LONGEST_SILENCE_S = 30.0
"""A meter that does not answer is asked at least this often."""


class _NoAnswer(Exception):
    """A meter answered with an exception code, with something else, or not at all."""


@dataclass(slots=True)
class _Meter:
    settings: ModbusMeterSettings
    blocks: Sequence[Block]
    link: Link
    due: float
    patience: Patience


@dataclass(slots=True)
class _Gateway:
    host: str
    port: int
    meters: list[_Meter] = field(default_factory=list)

    @property
    def timeout_s(self) -> float:
        return max(meter.settings.timeout_s for meter in self.meters)


class ModbusSource:
    """A telemetry source (`analytics.plugin.TelemetrySource`).

    Raises:
        SourceRefused: a meter names a profile that is not there, or a profile is not sound.
    """

    name: ClassVar[str] = "modbus"

    def __init__(
        self,
        settings: ModbusSettings,
        *,
        on_link: Told | None = None,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.counters = Counters()
        self.links = Links(wall, on_link)
        self._wall = wall
        self._jitter = jitter
        self._gateways = self._grouped(settings)

    def _grouped(self, settings: ModbusSettings) -> list[_Gateway]:
        profiles = {**BUILT_IN, **{one.name: one for one in settings.profiles}}
        plans: Mapping[str, Sequence[Block]] = {name: plan(one) for name, one in profiles.items()}
        gateways: dict[tuple[str, int], _Gateway] = {}
        for one in settings.meters:
            if one.profile not in plans:
                raise SourceRefused(f"modbus meter {one.device}: there is no profile {one.profile!r}")
            gateway = gateways.setdefault((one.host, one.port), _Gateway(one.host, one.port))
            link = self.links.add(f"{one.site}/{one.device}", [one.site])
            gateway.meters.append(_Meter(one, plans[one.profile], link, 0.0, Patience(LONGEST_SILENCE_S, self._jitter)))
        return list(gateways.values())

    def batches(self) -> AsyncGenerator[Batch, None]:
        """Ask all meters until closed."""
        gathering = Gathering()
        return gathering.batches([partial(self._keep_asking, one, gathering) for one in self._gateways])

    async def _keep_asking(self, gateway: _Gateway, into: Gathering) -> None:
        patience = Patience(jitter=self._jitter)

        def down(reason: str) -> None:
            for meter in gateway.meters:
                self.links.down(meter.link, reason)

        connect = partial(self._connect, gateway, into, patience)
        await keep_connected(connect, (ModbusException, OSError), down, patience)

    async def _connect(self, gateway: _Gateway, into: Gathering, patience: Patience) -> str:
        client = AsyncModbusTcpClient(
            gateway.host,
            port=gateway.port,
            framer=FramerType.SOCKET,
            reconnect_delay=0,
            timeout=gateway.timeout_s,
            retries=0,
        )
        try:
            if not await client.connect():
                return f"{gateway.host}:{gateway.port} is out of reach"
            self.counters.connections += 1
            patience.well()
            await self._ask_all(client, gateway, into)
            return "the connection was closed"
        finally:
            client.close()

    async def _ask_all(self, client: AsyncModbusTcpClient, gateway: _Gateway, into: Gathering) -> None:
        """Until the connection ends."""
        clock = asyncio.get_running_loop().time
        while client.connected:
            meter = min(gateway.meters, key=lambda one: one.due)
            if (wait_s := meter.due - clock()) > 0:
                await asyncio.sleep(wait_s)
            started = clock()
            try:
                parsed = await self._ask(client, meter)
            except _NoAnswer as error:
                self.counters.rejected[Reason.NO_VALUE] += 1
                self.links.down(meter.link, str(error))
                meter.due = clock() + max(meter.settings.interval_s, meter.patience.wait_s())
                continue
            self.links.up(meter.link)
            meter.patience.well()
            self.counters.take(meter.link.name, parsed, self._wall())
            await into.put(parsed)
            meter.due = max(started + meter.settings.interval_s, clock())

    async def _ask(self, client: AsyncModbusTcpClient, meter: _Meter) -> Parsed:
        """
        Raises:
            _NoAnswer: one of its requests was not answered as it should be.
        """
        settings, parsed = meter.settings, Parsed()
        self.counters.messages += 1
        before = self._wall()
        answers = [(block, await self._read(client, settings, block)) for block in meter.blocks]
        now = self._wall()
        at = (before + now) / 2
        for block, words in answers:
            for register in block.registers:
                try:
                    value = decode(block, words, register)
                except Rejected as error:
                    parsed.reject(error)
                    continue
                unit = QUANTITIES[register.quantity].unit
                parsed.readings.append(Reading(settings.site, settings.device, register.quantity, value, unit, at, now))
        return parsed

    async def _read(self, client: AsyncModbusTcpClient, meter: ModbusMeterSettings, block: Block) -> list[int]:
        read = client.read_holding_registers if block.table == "holding" else client.read_input_registers
        try:
            async with asyncio.timeout(meter.timeout_s):
                answer = await read(block.address, count=block.count, device_id=meter.unit)
        except TimeoutError:
            raise _NoAnswer(f"no answer within {meter.timeout_s:g} s") from None
        except ModbusException as error:
            raise _NoAnswer(str(error) or type(error).__name__) from error
        if answer.isError():
            raise _NoAnswer(f"refused by the meter: {answer}")
        if len(answer.registers) != block.count:
            raise _NoAnswer(f"{len(answer.registers)} registers where {block.count} were asked for")
        return list(answer.registers)
