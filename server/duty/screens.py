"""Whose pages are open: at whom an alert may ring in the browser; and which of them would be heard."""

import time
from collections.abc import Iterator

from server.clients import Client
from server.conductor import Conductor
from server.identity.roles import holds

AWAY_S = 5.0
"""A page whose socket was lost this short a time ago is coming back."""


def screens(conductor: Conductor, site: str) -> frozenset[str]:
    """Accounts of the site that have a page in its room and may take an alert."""
    return frozenset(client.person.user for client in _pages(conductor, site))


def armed(conductor: Conductor, site: str) -> frozenset[str]:
    """Those of them whose page would be heard: browsers keep it silent until somebody has pressed something."""
    return frozenset(client.person.user for client in _pages(conductor, site) if client.armed)


def _pages(conductor: Conductor, site: str) -> Iterator[Client]:
    now = time.monotonic()
    for client in conductor.in_room(f"site:{site}"):
        if (
            client.kind == "browser"
            and client.person.site == site
            and holds(client.rooms[f"site:{site}"].grant.role, "acknowledge")
            and (client.lost_at is None or now - client.lost_at < AWAY_S)
        ):
            yield client
