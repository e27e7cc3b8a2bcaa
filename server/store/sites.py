"""The tree of mines and authorities, kept in memory: it is small, and asked at every step.

A site reaches itself and all below it, never sideways or upwards. Sites are added, never moved or removed: their ids
stand in timelines, alerts and the audit.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Protocol

from sqlalchemy import ColumnElement, Select, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.database import Database
from server.store.errors import NoSuchSite, SiteRefused
from server.store.tables import sites

LEVELS = ("nation", "province", "city", "county", "mine")
"""From the top. A level may be skipped, never turned round."""


@dataclass(frozen=True, slots=True)
class Site:
    """A mine or an authority."""

    site: str
    parent: str | None
    level: str
    name_zh: str
    name_en: str
    path: str
    kind: str = ""
    """What sort of mine: `coal`, `metal`, ...; empty when nobody said."""
    data: dict[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """As in `GET /api/sites`."""
        keep = ("site", "parent", "level", "name_zh", "name_en")
        return {key: value for key, value in asdict(self).items() if key in keep}


class WantedSite(Protocol):
    """What is needed to add a site; `config.settings.SiteSettings` is one."""

    @property
    def site(self) -> str: ...
    @property
    def parent(self) -> str | None: ...
    @property
    def level(self) -> str: ...
    @property
    def name_zh(self) -> str: ...
    @property
    def name_en(self) -> str: ...


class SiteTree:
    """All sites of this server. Made by `load`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sites: dict[str, Site] = {}
        self._ancestors: dict[str, tuple[str, ...]] = {}
        self._children: dict[str, list[str]] = {}

    @classmethod
    async def load(cls, database: Database) -> "SiteTree":
        """Read the whole tree."""
        tree = cls(database)
        async with database.reading() as connection:
            result = await connection.execute(select(sites).order_by(sites.c.path))
        for row in result:  # a path sorts after the path of its parent
            tree._take(Site(**row._mapping))
        return tree

    def _take(self, site: Site) -> None:
        if site.site in self._sites:
            self._sites[site.site] = site
            return
        self._sites[site.site] = site
        self._ancestors[site.site] = () if site.parent is None else (site.parent, *self._ancestors[site.parent])
        self._children[site.site] = []
        if site.parent is not None:
            self._children[site.parent].append(site.site)

    # --- questions ---

    def __contains__(self, site: object) -> bool:
        return site in self._sites

    def __len__(self) -> int:
        return len(self._sites)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sites)

    def get(self, site: str) -> Site | None:
        return self._sites.get(site)

    def __getitem__(self, site: str) -> Site:
        """
        Raises:
            NoSuchSite: it is not in the tree.
        """
        found = self._sites.get(site)
        if found is None:
            raise NoSuchSite(site)
        return found

    @property
    def top(self) -> str:
        """The site whose admins answer for the server as a whole: of those that nothing is above the first by name.
        Empty: there are no sites."""
        return min((site for site in self._sites if not self._ancestors[site]), default="")

    def level(self, site: str) -> str:
        """`mine`, `county`, ... (raises `NoSuchSite`)."""
        return self[site].level

    def ancestors(self, site: str) -> tuple[str, ...]:
        """The authorities above, nearest first, without the site itself (raises `NoSuchSite`)."""
        return self._ancestors[self[site].site]

    def descendants(self, site: str) -> tuple[str, ...]:
        """All sites below, parents before children, without the site itself (raises `NoSuchSite`)."""
        found: list[str] = []
        waiting = list(self._children[self[site].site])
        while waiting:
            found += waiting
            waiting = [child for one in waiting for child in self._children[one]]
        return tuple(found)

    def below(self, site: str) -> tuple[Site, ...]:
        """The site itself and all below it."""
        return tuple(self._sites[one] for one in (site, *self.descendants(site)))

    def reaches(self, viewer_site: str, site: str) -> bool:
        """Whether people of `viewer_site` may see `site`. False for a site that is not there, never an error."""
        if viewer_site not in self._sites or site not in self._sites:
            return False
        return viewer_site == site or viewer_site in self._ancestors[site]

    def rooms_of(self, site: str) -> list[str]:
        """The standing rooms in which news of a site is told: its own and that of every authority above it."""
        return [f"site:{one}" for one in (site, *self.ancestors(site))]

    # --- changes ---

    async def add(
        self,
        site: str,
        parent: str | None,
        level: str,
        name_zh: str,
        name_en: str,
        *,
        kind: str = "",
        data: dict[str, object] | None = None,
    ) -> Site:
        """Add a site, or change names, kind and data of one that is there.

        Raises:
            NoSuchSite: the parent is not in the tree.
            SiteRefused: the level does not fit below the parent, or the site is there with another parent or level.
        """
        wanted = self._checked(site, parent, level, name_zh, name_en, kind, data)
        async with self._database.transaction() as connection:
            await _write(connection, wanted, new=site not in self._sites)
        self._take(wanted)
        return wanted

    async def ensure(self, wanted: Iterable[WantedSite]) -> None:
        """Add those that are missing, parents first whatever their order; leave the others as they are."""
        left = [one for one in wanted if one.site not in self._sites]
        while left:
            ready = [one for one in left if one.parent is None or one.parent in self._sites]
            if not ready:
                raise NoSuchSite(left[0].parent or "")
            for one in ready:
                await self.add(one.site, one.parent, one.level, one.name_zh, one.name_en)
            left = [one for one in left if one.site not in self._sites]

    def _checked(
        self,
        site: str,
        parent: str | None,
        level: str,
        name_zh: str,
        name_en: str,
        kind: str,
        data: dict[str, object] | None,
    ) -> Site:
        if not site or "/" in site:
            raise SiteRefused(f"A site cannot be called {site!r}.")
        if level not in LEVELS:
            raise SiteRefused(f"There is no level {level}.")
        path = f"/{site}/"
        if parent is not None:
            above = self[parent]
            if LEVELS.index(level) <= LEVELS.index(above.level):
                raise SiteRefused(f"A {level} cannot stand below a {above.level}.")
            path = f"{above.path}{site}/"
        known = self._sites.get(site)
        if known is not None and (known.parent, known.level) != (parent, level):
            raise SiteRefused(f"Site {site} is there already, as a {known.level} below {known.parent}.")
        return Site(site, parent, level, name_zh, name_en, path, kind, data or {})


async def _write(connection: AsyncConnection, site: Site, *, new: bool) -> None:
    values = asdict(site)
    if new:
        await connection.execute(insert(sites).values(values))
    else:
        await connection.execute(sites.update().where(sites.c.site == site.site).values(values))


def at_or_below(column: ColumnElement[str], path: str) -> ColumnElement[bool]:
    """A condition: the site in `column` is the one with this path, or below it."""
    inside: Select[tuple[str]] = select(sites.c.site).where(sites.c.path.startswith(path, autoescape=True))
    return column.in_(inside)
