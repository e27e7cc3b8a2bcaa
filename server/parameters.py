"""The figures of rules as people set them: global below province below city, county, mine and device.

Settings hold the figures for everything (`rules`) and for single devices (`devices[].parameters`). Above them lie the
sets kept here: one for a site counts for all below it, one for a device of a mine comes last. A set is never changed;
the next one of its scope takes its place, so what was valid at any moment stays known.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import insert, select

from config.settings import DeviceSettings, RuleSettings, Settings
from server.store import audit
from server.store.database import Database
from server.store.errors import NoSuchSite
from server.store.ids import new_id
from server.store.sites import SiteTree
from server.store.tables import rule_parameters as table


class BadParameters(Exception):
    """A name that no rule has, or a value that is none for it; nothing was changed. `mistakes`: name → sentence."""

    def __init__(self, mistakes: Mapping[str, str]) -> None:
        super().__init__(", ".join(f"{name}: {why}" for name, why in mistakes.items()))
        self.mistakes = dict(mistakes)


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """What somebody set for one scope."""

    id: str
    site: str
    device: str
    """Empty: for the whole site and all below it."""
    values: Mapping[str, float]
    at: float
    by: str

    def as_dict(self) -> dict[str, object]:
        """As in the API."""
        return {
            "id": self.id, "site": self.site, "device": self.device, "values": dict(self.values), "at": self.at,
            "by": self.by,
        }  # fmt: skip


class Parameters:
    """All sets of this server, in memory and in the store. Made by `load`."""

    def __init__(self, settings: Settings, database: Database, tree: SiteTree) -> None:
        self._settings, self._database, self._tree = settings, database, tree
        self._sets: list[ParameterSet] = []
        self.on_change: list[Callable[[str], None]] = []
        """Told of the site whose figures, and those of all below it, changed."""

    @classmethod
    async def load(cls, settings: Settings, database: Database, tree: SiteTree) -> "Parameters":
        parameters = cls(settings, database, tree)
        async with database.reading() as connection:
            for row in await connection.execute(select(table).order_by(table.c.id)):
                parameters._sets.append(ParameterSet(row.id, row.site, row.device, row.values, row.at, row.by))
        return parameters

    def history(self, site: str, limit: int = 200) -> list[ParameterSet]:
        """Sets of a site and of the authorities above it, the newest first."""
        scope = (site, *self._tree.ancestors(site))
        return [one for one in reversed(self._sets) if one.site in scope][:limit]

    def of_site(self, site: str, at: float = float("inf")) -> RuleSettings:
        """The figures of a site, as they were at a moment."""
        return RuleSettings.model_validate({**self._settings.rules.model_dump(), **self._over(site, "", at)})

    def of_device(self, device: DeviceSettings, at: float = float("inf")) -> DeviceSettings:
        """A device with its own figures."""
        own = self._newest(device.site, device.device, at)
        return device.model_copy(update={"parameters": {**device.parameters, **(own.values if own else {})}})

    def sources(self, site: str) -> dict[str, str]:
        """Name → the site whose set it comes from; names that nobody set are missing."""
        found: dict[str, str] = {}
        for scope in (*reversed(self._tree.ancestors(site)), site):
            newest = self._newest(scope, "", float("inf"))
            found |= dict.fromkeys(newest.values if newest else (), scope)
        return found

    def _over(self, site: str, device: str, at: float) -> dict[str, float]:
        values: dict[str, float] = {}
        for scope in (*reversed(self._tree.ancestors(site)), site):
            newest = self._newest(scope, device, at)
            values |= newest.values if newest else {}
        return values

    def _newest(self, site: str, device: str, at: float) -> ParameterSet | None:
        return next(
            (one for one in reversed(self._sets) if (one.site, one.device) == (site, device) and one.at <= at), None
        )

    async def put(
        self, site: str, device: str, values: Mapping[str, float], *, by: str, address: str = ""
    ) -> ParameterSet:  # fmt: skip
        """The whole set of a scope from now on; an empty one takes all of it back.

        Raises:
            NoSuchSite, BadParameters, StoreError: nothing was changed.
        """
        if site not in self._tree:
            raise NoSuchSite(site)
        unknown = sorted(set(values) - set(RuleSettings.model_fields))
        if unknown:
            raise BadParameters(dict.fromkeys(unknown, "no rule has this parameter"))
        try:
            checked = RuleSettings.model_validate(dict(values))
        except ValidationError as error:
            raise BadParameters({str(one["loc"][0]): one["msg"] for one in error.errors()}) from None
        kept = {name: float(getattr(checked, name)) for name in values}
        return await self._database.finish(self._put(site, device, kept, by, address))

    async def _put(self, site: str, device: str, values: dict[str, float], by: str, address: str) -> ParameterSet:
        at = time.time()
        made = ParameterSet(new_id(at), site, device, values, at, by)
        before = self._newest(site, device, float("inf"))
        async with self._database.transaction() as connection:
            await connection.execute(insert(table).values(made.as_dict()))
            await audit.append(
                connection, at=at, actor=f"user:{by}", action="parameters.set", object=f"parameters:{device or site}",
                site=site, address=address, detail={"before": dict(before.values) if before else {}, "after": values},
            )  # fmt: skip
        self._sets.append(made)
        for listener in self.on_change:
            listener(site)
        return made
