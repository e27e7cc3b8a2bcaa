"""Registrations of desk phones in the store, so that a phone can be rung right after a restart.

What a phone registered over UDP holds on: the same address is sent to. Of a TCP connection only the phone's own address
is left; a new connection is opened to it when there is something to send, if the Contact names that very address. TLS
and WebSockets end with the server: such a phone comes back by itself. Expiry is by the wall clock. A phone that was
changed, removed or given another secret meanwhile has to register anew.
"""

from collections.abc import Callable, Mapping, Sequence

import structlog

from server.store import phones as rows
from server.store.database import Database
from signaling.sip.address import parse_address
from signaling.sip.errors import MessageError
from signaling.sip.registrar import Binding
from signaling.sip.transactionlayer import Flow
from signaling.sip.uri import SipUri

log = structlog.get_logger()


class Remembered:
    """`changed` notes a phone; `write` brings the store up to date with all that were noted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed: set[str] = set()

    def changed(self, phone: str) -> None:
        self._changed.add(phone)

    async def read(self, now: float, at: float, longest_s: float) -> list[tuple[str, Binding, str]]:
        """(phone, binding, User-Agent) of what still holds, for `longest_s` at most. Raises StoreError."""
        async with self._database.transaction() as connection:
            await rows.forget_registrations(connection, at)
        async with self._database.reading() as connection:
            found = await rows.registrations(connection)
        kept = []
        for row in found:
            ends = now + min(float(row["expires_at"]) - at, longest_s)
            binding = binding_of(row, ends)
            if binding is not None:
                kept.append((str(row["phone"]), binding, str(row["agent"])))
        return kept

    async def write(
        self, bindings: Callable[[str], Sequence[Binding]], agent: Callable[[str], str], now: float, at: float
    ) -> None:
        """Raises StoreError: it is tried again with the next write."""
        if not self._changed:
            return
        noted, self._changed = self._changed, set()
        made = {phone: rows_of(phone, bindings(phone), agent(phone), now, at) for phone in noted}
        try:
            async with self._database.transaction() as connection:
                await rows.keep_registrations(connection, made)
        except BaseException:
            self._changed |= noted
            raise


def rows_of(phone: str, bindings: Sequence[Binding], agent: str, now: float, at: float) -> list[dict[str, object]]:
    """`now` is monotonic, as in the bindings; `at` the same moment by the wall clock."""
    return [
        {
            "phone": phone, "number": number, "contact": str(one.contact), "host": one.flow.host,
            "transport": one.flow.transport, "port": one.flow.port, "call_id": one.call_id, "cseq": one.cseq,
            "instance": one.instance, "agent": agent, "at": at, "expires_at": at + one.expires_at - now,
        }
        for number, one in enumerate(bindings)
        if flow_after(one.flow.transport, one.flow.host, one.flow.port, one.contact.uri) is not None
    ]  # fmt: skip


def binding_of(row: Mapping[str, object], ends: float) -> Binding | None:
    """None for what no restart can bring back."""
    try:
        contact = parse_address(str(row["contact"]))
    except MessageError as error:
        log.warning("registration_not_read", phone=row["phone"], reason=error.detail)
        return None
    flow = flow_after(str(row["transport"]), str(row["host"]), int(str(row["port"])), contact.uri)
    if flow is None:
        return None
    return Binding(contact, flow, str(row["call_id"]), int(str(row["cseq"])), ends, str(row["instance"]))


def flow_after(transport: str, host: str, port: int, contact: object) -> Flow | None:
    """How a phone is reached when its connection is gone."""
    if transport == "UDP":
        return Flow(host, port)
    if transport != "TCP" or not isinstance(contact, SipUri) or contact.host.strip("[]").lower() != host.lower():
        return None
    port = contact.port or 5060
    return Flow(host, port, f"tcp:{host}:{port}")
