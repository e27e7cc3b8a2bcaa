"""The registry of mines: what is valid now is in memory, every change is a new version in the store.

A change is checked as a whole (each fact, then whether all fit each other), written in one transaction together with
its audit row and an entry of the mine's timeline, and only then seen by rules and pages.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from analytics.mine import Mine, MineFacts, Person
from server.bus import Bus
from server.registry import checks
from server.registry.errors import MAX_MISTAKES, Mistake, RegistryRefused, RegistryStale
from server.registry.forms import KINDS, Fact, id_of, parse, plain
from server.store import audit, timeline
from server.store import registry as rows
from server.store.database import Database
from server.store.errors import NoSuchSite
from server.store.registry import Change, Version
from server.store.sites import SiteTree

log = structlog.get_logger()

Key = tuple[str, str]
"""(kind, id)."""
TICK_S = 1e-6
"""Versions of one mine begin at least so far apart, whatever the clock does."""
LISTED = 50
"""Ids of one change in its audit row."""


@dataclass(slots=True)
class _Kept:
    """What is valid now of one mine."""

    version: int = 0
    at: float = 0.0
    facts: dict[Key, Fact] = field(default_factory=dict)
    manual: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    seen: MineFacts | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change does, or would do."""

    version: int
    added: tuple[Key, ...] = ()
    changed: tuple[Key, ...] = ()
    removed: tuple[Key, ...] = ()
    unchanged: int = 0

    @property
    def empty(self) -> bool:
        return not (self.added or self.changed or self.removed)


class Registry:
    """All facts of all mines of this server. Made by `load`."""

    def __init__(self, database: Database, tree: SiteTree, bus: Bus, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._tree = tree
        self._bus = bus
        self._clock = clock
        self._sites: dict[str, _Kept] = {}
        self._changing = asyncio.Lock()
        self.on_change: list[Callable[[MineFacts], None]] = []
        """Told of every mine whose facts changed, after they are on disk. They may not raise and not wait."""

    @classmethod
    async def load(
        cls, database: Database, tree: SiteTree, bus: Bus, clock: Callable[[], float] = time.time
    ) -> "Registry":
        """Read what is valid now. A fact that a newer form refuses is left out and logged, not lost."""
        registry = cls(database, tree, bus, clock)
        async with database.reading() as connection:
            versions = await rows.current(connection)
            last = await rows.last_changes(connection)
        for site, (version, at) in last.items():
            registry._sites[site] = _Kept(version, at)
        for one in versions:
            fact = parse(one.kind, one.data) if one.kind in KINDS else []
            if isinstance(fact, list):
                log.error("fact_not_read", site=one.site, kind=one.kind, version=one.version)
                continue
            kept = registry._sites.setdefault(one.site, _Kept())
            kept.facts[one.kind, one.id] = fact
            kept.manual[one.kind, one.id] = one.manual
        return registry

    # --- questions ---

    def facts(self, site: str) -> MineFacts:
        """What is valid now; empty for a mine of which nothing is known."""
        kept = self._sites.get(site)
        if kept is None:
            return MineFacts(site)
        if kept.seen is None:
            kept.seen = _facts(site, kept.version, kept.facts)
        return kept.seen

    def sites(self) -> tuple[str, ...]:
        """Those of which something is known."""
        return tuple(site for site, kept in self._sites.items() if kept.facts)

    def person(self, site: str, card: str) -> Person | None:
        """Unmasked: give it out only to whom may see it."""
        kept = self._sites.get(site)
        found = kept.facts.get(("people", card)) if kept is not None else None
        return found if isinstance(found, Person) else None

    def listed(self, site: str, kind: str) -> list[Fact]:
        """All facts of a kind, by id. People unmasked."""
        kept = self._sites.get(site)
        if kept is None:
            return []
        return [kept.facts[key] for key in sorted(key for key in kept.facts if key[0] == kind)]

    def manual(self, site: str, kind: str, id: str) -> tuple[str, ...]:
        """Fields that a person set."""
        kept = self._sites.get(site)
        return kept.manual.get((kind, id), ()) if kept is not None else ()

    async def as_of(self, site: str, kind: str, at: float) -> list[Version]:
        """What was valid at a moment, by id."""
        async with self._database.reading() as connection:
            return await rows.as_of(connection, site, kind, at)

    async def history(self, site: str, kind: str, id: str, limit: int = 100) -> list[Version]:
        """All versions of one fact, the newest first."""
        async with self._database.reading() as connection:
            return await rows.history(connection, site, kind, id, limit)

    async def changes(self, site: str, before: int | None = None, limit: int = 50) -> list[Change]:
        """Changes of a mine, the newest first."""
        async with self._database.reading() as connection:
            return await rows.changes(connection, site, before, limit)

    # --- changes ---

    async def change(
        self,
        site: str,
        put: Mapping[str, Sequence[Fact]],
        remove: Iterable[Key] = (),
        *,
        by: str,
        source: str = "person",
        address: str = "",
        expect: int | None = None,
        dry_run: bool = False,
        replace_kinds: bool = False,
        lines: Mapping[Key, int] | None = None,
    ) -> Outcome:
        """Put and remove facts, all or none.

        Args:
            by: id of the user; empty for a file of the mine.
            source: `person`, `import` or `file:TYPE`. Of a file only fields that no person set are taken.
            expect: the version that the caller looked at.
            replace_kinds: facts of the kinds in `put` that are not in it are removed.
            lines: where a fact stands in the file that it comes from; mistakes name them.

        Raises:
            NoSuchSite: the site is none.
            RegistryRefused: something is wrong; nothing was changed.
            RegistryStale: the mine has another version than `expect`.
            StoreError: nothing was changed.
        """
        if site not in self._tree:
            raise NoSuchSite(site)
        work = self._change(site, put, tuple(remove), by, source, address, expect, dry_run, replace_kinds, lines or {})
        return await self._database.finish(self._in_turn(work))

    async def _in_turn(self, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        async with self._changing:
            return await work

    async def _change(
        self,
        site: str,
        put: Mapping[str, Sequence[Fact]],
        remove: tuple[Key, ...],
        by: str,
        source: str,
        address: str,
        expect: int | None,
        dry_run: bool,
        replace_kinds: bool,
        lines: Mapping[Key, int],
    ) -> Outcome:
        kept = self._sites.get(site) or _Kept()
        if expect is not None and expect != kept.version:
            raise RegistryStale(f"The facts of {site} have version {kept.version}, not {expect}.")
        wanted, manual = _wanted(kept, put, source)
        gone = [key for key in remove if key in kept.facts]
        if replace_kinds:
            gone += [key for key in kept.facts if key[0] in put and key not in wanted]
        added = tuple(key for key in wanted if key not in kept.facts)
        changed = tuple(
            key for key, fact in wanted.items()
            if key in kept.facts and (kept.facts[key] != fact or kept.manual.get(key, ()) != manual[key])
        )  # fmt: skip
        after = {key: fact for key, fact in kept.facts.items() if key not in gone} | wanted
        version = kept.version + 1
        seen = _facts(site, version, after)
        self._check(seen, lines)
        outcome = Outcome(version, added, changed, tuple(gone), len(wanted) - len(added) - len(changed))
        if outcome.empty or dry_run:
            return replace(outcome, version=kept.version)
        at = max(self._clock(), kept.at + TICK_S)
        change = Change(site, version, at, by, source, _counts(outcome))
        versions = [
            Version(site, *key, version, at, None, plain(key[0], wanted[key]), manual[key])
            for key in (*added, *changed)
        ]  # fmt: skip
        async with self._database.transaction() as connection:
            await rows.write(connection, change, versions, (*changed, *gone))
            await audit.append(
                connection, at=at, actor=by, action="registry.change", object=f"{site}@{version}", site=site,
                address=address, detail=_detail(outcome, source),
            )  # fmt: skip
            body: dict[str, object] = {"site": site, "version": version, "source": source, "counts": change.counts}
            entries = await timeline.append(connection, [f"site:{site}"], "registry", body, at)
        manuals = {key: words for key, words in kept.manual.items() if key not in gone}
        manuals |= {key: manual[key] for key in (*added, *changed)}
        self._sites[site] = _Kept(version, at, after, manuals, seen)
        for listener in self.on_change:
            listener(seen)
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())
        return outcome

    def _check(self, facts: MineFacts, lines: Mapping[Key, int]) -> None:
        found = checks.mistakes(facts)
        if found:
            raise RegistryRefused(
                [replace(one, line=lines.get((one.kind, one.id))) for one in found[:MAX_MISTAKES]]
            )  # fmt: skip

    async def log_unmasking(self, site: str, cards: Sequence[str], *, by: str, address: str, reason: str) -> None:
        """Write down who looked at whom before he does.

        Raises:
            StoreError: it could not be written; then nothing may be shown.
        """
        at = self._clock()
        async with self._database.transaction() as connection:
            await audit.append(
                connection, at=at, actor=by, action="registry.unmask", object=",".join(cards[:LISTED])[:1000],
                site=site, address=address, detail={"people": len(cards), "reason": reason[:200]},
            )  # fmt: skip


def _facts(site: str, version: int, kept: Mapping[Key, Fact]) -> MineFacts:
    by_kind: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for (kind, id), fact in sorted(kept.items(), key=lambda item: item[0]):
        by_kind[kind][id] = fact.as_card() if isinstance(fact, Person) else fact
    whole = by_kind.pop("mine").get("mine", Mine())
    return MineFacts(site, version, whole, **by_kind)


def _wanted(
    kept: _Kept, put: Mapping[str, Sequence[Fact]], source: str
) -> tuple[dict[Key, Fact], dict[Key, tuple[str, ...]]]:
    """What is to be valid, and which of its fields a person set.

    Raises:
        RegistryRefused: a fact stands twice.
    """
    wanted: dict[Key, Fact] = {}
    manual: dict[Key, tuple[str, ...]] = {}
    for kind, facts in put.items():
        for fact in facts:
            key = (kind, id_of(kind, fact))
            if key in wanted:
                raise RegistryRefused([Mistake(*key, "", "重复", "stands twice")])
            before, by_hand = kept.facts.get(key), kept.manual.get(key, ())
            if source.startswith("file"):
                if another_person(before, fact):
                    before, by_hand = None, ()
                wanted[key] = _filled(fact, before, by_hand)
                manual[key] = by_hand
            else:
                wanted[key] = fact
                manual[key] = tuple(sorted({*by_hand, *_differing(kind, fact, before)}))
    return wanted, manual


def another_person(before: Fact | None, now: Fact) -> bool:
    """The card was given to somebody else: what was entered for the one before is not true of this one."""
    return isinstance(before, Person) and isinstance(now, Person) and bool(before.name) and before.name != now.name


def _filled(fact: Fact, before: Fact | None, by_hand: Sequence[str]) -> Fact:
    """The file's fact with the fields that a person set."""
    if before is None or not by_hand:
        return fact
    return replace(fact, **{name: getattr(before, name) for name in by_hand})


def _differing(kind: str, fact: Fact, before: Fact | None) -> set[str]:
    other = before if before is not None else _bare(kind, fact)
    new, old = plain(kind, fact), plain(kind, other) if other is not None else {}
    return {name for name, value in new.items() if name != KINDS[kind].id and value != old.get(name)}


def _bare(kind: str, fact: Fact) -> Fact | None:
    """The fact with nothing but its id, where that is one."""
    made = parse(kind, {KINDS[kind].id: id_of(kind, fact)})
    return None if isinstance(made, list) else made


def _counts(outcome: Outcome) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for word in ("added", "changed", "removed"):
        keys: tuple[Key, ...] = getattr(outcome, word)
        for kind, _ in keys:
            of_kind = found.setdefault(kind, {"added": 0, "changed": 0, "removed": 0})
            of_kind[word] += 1
    return found


def _detail(outcome: Outcome, source: str) -> dict[str, object]:
    detail: dict[str, object] = {"source": source}
    for word in ("added", "changed", "removed"):
        keys: tuple[Key, ...] = getattr(outcome, word)
        if keys:
            detail[word] = [f"{kind}/{id}" for kind, id in keys[:LISTED]]
            detail[f"{word}_count"] = len(keys)
    return detail
