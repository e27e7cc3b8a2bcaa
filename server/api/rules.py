"""The figures of rules: what counts at a site, who set it, and setting it."""

from typing import Annotated

from aiohttp import web
from pydantic import Field

from config.settings import RuleSettings
from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require
from server.api.problems import FieldProblem
from server.parameters import BadParameters, Parameters
from server.rules import Rules
from signaling.room.messages import Id

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Device = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.:-]{0,62})?$")]


class RulesQuery(Query):
    site: Id


class ParameterBody(Output):
    value: float
    default: float
    """As the program has it."""
    from_site: str
    """The site whose set it comes from; empty: the settings file."""
    description: str


class ParameterSetBody(Output):
    id: str
    site: str
    device: str
    values: dict[str, float]
    at: float
    by: str


class RulesBody(Output):
    site: str
    parameters: dict[str, ParameterBody]
    sets: list[ParameterSetBody]
    """Of the site and the authorities above it, the newest first; the newest of each site and device counts."""
    not_observable: dict[str, list[str]]
    """Device → rules that its samples so far cannot answer."""


class ParameterSetInput(Input):
    site: Id
    device: Device = ""
    """Empty: the whole site and all below it."""
    values: Annotated[dict[Name, float], Field(max_length=200)]
    """The whole set: what is not named goes by the scopes above."""


class RulesDoor:
    """Handlers over the figures."""

    def __init__(self, parameters: Parameters, rules: Rules) -> None:
        self._parameters, self._rules = parameters, rules

    def routes(self) -> Routes:
        routes = Routes()
        routes.route(
            "GET", "/api/rules", access="read", query=RulesQuery, ok=RulesBody, errors=("not_found",),
            summary="The figures that the rules of a site go by, and who set them",
        )(self.show)  # fmt: skip
        routes.route(
            "PUT", "/api/rules", access="configure", body=ParameterSetInput, ok=ParameterSetBody,
            errors=("not_found", "bad_request"),
            summary="Set the figures of a site, or of one device of it; the rules go by them at once",
        )(self.put)  # fmt: skip
        return routes

    async def show(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        site = query(request, RulesQuery).site
        require(context, request, "read", site)
        figures, sources = self._parameters.of_site(site), self._parameters.sources(site)
        parameters = {
            name: {
                "value": float(getattr(figures, name)),
                "default": float(known.default),
                "from_site": sources.get(name, ""),
                "description": known.description or "",
            }
            for name, known in RuleSettings.model_fields.items()
        }
        rules = self._rules.of(site)
        silent = rules.plant.not_observable() if rules is not None else {}
        return {
            "site": site,
            "parameters": parameters,
            "sets": [one.as_dict() for one in self._parameters.history(site)],
            "not_observable": {device: list(names) for device, names in silent.items() if names},
        }

    async def put(self, context: Context, request: web.Request, body: ParameterSetInput) -> dict[str, object]:
        who = require(context, request, "configure", body.site)
        try:
            made = await self._parameters.put(
                body.site, body.device, body.values, by=who.user.user, address=request.remote or ""
            )
        except BadParameters as error:
            fields = tuple(
                FieldProblem(where=f"values.{name}"[:100], why=why[:200]) for name, why in error.mistakes.items()
            )
            raise ApiProblem("bad_request", str(error), fields=fields) from error
        return made.as_dict()
