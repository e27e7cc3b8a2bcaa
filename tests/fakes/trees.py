"""A tree of sites in memory, for tests that need no store."""

from collections.abc import Mapping


class FakeTree:
    """Sites by parent; fits `server.identity.roles.Tree`."""

    def __init__(self, parents: Mapping[str, str | None]) -> None:
        self.parents = dict(parents)

    def __contains__(self, site: object) -> bool:
        return site in self.parents

    def ancestors(self, site: str) -> tuple[str, ...]:
        above: list[str] = []
        parent = self.parents[site]
        while parent is not None:
            above.append(parent)
            parent = self.parents[parent]
        return tuple(above)
