"""Key spots: what is watched for, what is seen now, and what was counted."""

from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import Output, Query, Routes, query, require
from server.spots import KeySpots


class SpotQuery(Query):
    site: Annotated[str, Field(min_length=1, max_length=63)]


class Words(Output):
    zh: str
    en: str


class SeenOut(Output):
    label: str
    score: float
    box: tuple[float, float, float, float]
    attributes: dict[str, float]


class SpotOut(Output):
    spot: str
    site: str
    camera: str
    kind: Literal["crossing", "headcount", "danger", "belt", "hoist"]
    name: Words
    zone: tuple[tuple[float, float], ...]
    line: tuple[tuple[float, float], tuple[float, float]] | None
    inward: Literal["left", "right"]
    track: str | None
    """The live track that is looked through; null: there is none now."""
    detector: str
    state: str
    """`unknown` while nothing can be seen."""
    picture: str
    seen_at: float | None
    """UTC seconds of the newest usable picture."""
    judged: bool
    """False: outside the shifts in which it is watched."""
    figures: dict[str, float | None]
    """What its kind counts."""
    detections: tuple[SeenOut, ...]
    inference_ms: float | None
    simulated: bool


class Spots(Output):
    items: tuple[SpotOut, ...]


@dataclass(slots=True)
class SpotDoor:
    """The endpoints, over what looks."""

    spots: KeySpots

    def routes(self) -> Routes:
        routes = Routes()
        routes.route("GET", "/api/spots", access="read", summary="Key spots: what is seen and counted",
                     query=SpotQuery, ok=Spots, errors=("not_found",))(self.all)  # fmt: skip
        return routes

    async def all(self, context: Context, request: web.Request, _body: None) -> Spots:
        """Of the site and all below it."""
        site = query(request, SpotQuery).site
        require(context, request, "read", site)
        sites = [site, *context.tree.descendants(site)]
        return Spots(items=tuple(_out(one) for one in self.spots.states(sites)))


def _out(state: dict[str, object]) -> SpotOut:
    known = {name: value for name, value in state.items() if name in SpotOut.model_fields}
    figures = {
        name: None if value is None else float(value)
        for name, value in state.items()
        if name not in SpotOut.model_fields and (value is None or isinstance(value, int | float))
    }
    return SpotOut.model_validate({**known, "figures": figures})
