"""What stands at a site at a handover: alerts, what is silenced, consultations and orders."""

from typing import Any

from server.alerts.service import AlertService
from server.conductor import Conductor
from server.duty.service import Escalations
from server.sessions.machine import OrderState
from server.sessions.service import SessionService

MOST = 100
"""Most of each kind that a handover names; how many there are stands beside them."""


async def standing(
    site: str, alerts: AlertService, escalations: Escalations, sessions: SessionService, conductor: Conductor
) -> dict[str, Any]:
    """Plain data, for the record."""
    found = [one for one in await alerts.open_for(site) if one.site == site]
    open_sessions = sessions.concerning(site)
    orders = [
        (state, order)
        for state in open_sessions
        for order in state.orders.values()
        if order.to_site == site and order.state is not OrderState.DONE
    ]
    silenced = [(client, own) for client, own in conductor.tracks_in(f"site:{site}") if own.silenced]
    return {
        "alerts": [
            {
                "id": one.id, "severity": one.severity, "state": one.state.value,
                "title": {"zh": one.title_zh, "en": one.title_en}, "opened_at": one.opened_at,
                "taken_by": one.acknowledged.name if one.acknowledged is not None else "",
                "ringing": (escalations.view(one.id) or {}).get("status"),
            }
            for one in found[:MOST]
        ],
        "alert_count": len(found),
        "silenced": [{"track": own.track, "name": own.publication.name} for _, own in silenced[:MOST]],
        "sessions": [{"session": one.session, "title": one.title} for one in open_sessions[:MOST]],
        "orders": [
            {"session": state.session, "text": order.text, "state": order.state.value, "given_at": order.given_at}
            for state, order in orders[:MOST]
        ],
    }  # fmt: skip
