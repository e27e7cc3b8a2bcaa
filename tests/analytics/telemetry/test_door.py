"""Which sources the settings open, and other people's."""

from collections.abc import AsyncIterator
from importlib.metadata import EntryPoint

import pytest

from analytics.errors import SourceRefused
from analytics.plugin import Batch, TelemetrySource
from analytics.telemetry import door
from analytics.telemetry.door import SourceOptions, open_sources
from analytics.telemetry.links import Link
from config.settings import Settings


class Acme:
    """A source of somebody else's."""

    name = "acme"

    def __init__(self, options: SourceOptions) -> None:
        self.options = options
        self.links = options.links

    async def batches(self) -> AsyncIterator[Batch]:
        self.links.up(self.links.add("one", ["hongqi"]))
        yield Batch([], [], self._stored)

    async def _stored(self) -> None:
        return None


def opened(**sections: object) -> list[TelemetrySource]:
    told: list[Link] = []
    return list(
        open_sources(
            Settings.model_validate(sections), lambda: {"hongqi"}, on_link=lambda name: told.append,
            on_gap=lambda gap: None,
        )
    )  # fmt: skip


METER = {"site": "hongqi", "device": "meter", "host": "10.0.0.1", "profile": "sdm630"}
EVERYTHING = {
    "mqtt": {"host": "10.0.0.1"},
    "modbus": {"meters": [METER]},
    "omlox": [{"site": "hongqi", "url": "wss://hub/ws"}],
    "opcua": [{"site": "hongqi", "url": "opc.tcp://plc", "nodes": [
        {"node": "i=1", "device": "belt", "quantity": "current_a"}]}],
}  # fmt: skip


def test_nothing_is_opened_that_has_nothing_to_fetch() -> None:
    assert opened() == []


def test_each_section_opens_its_source_unless_it_may_not_run() -> None:
    assert [one.name for one in opened(**EVERYTHING)] == ["mqtt", "modbus", "omlox", "opcua"]
    allowed = {"telemetry": ["modbus"]}
    assert [one.name for one in opened(**EVERYTHING, analytics=allowed)] == ["modbus"]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("acme", f"{__name__}:Acme", door.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: Acme if self.name == "acme" else lambda options: options)
    monkeypatch.setattr(door, "entry_points", lambda group: [point, EntryPoint("odd", "x:y", group)])


@pytest.mark.usefixtures("installed")
async def test_source_of_an_installed_package_gets_its_options_and_tells_its_links() -> None:
    [source] = opened(analytics={"sources": [{"name": "acme", "options": {"port": 7}}]})
    assert isinstance(source, Acme)
    assert (source.options.options, source.options.sites()) == ({"port": 7}, {"hongqi"})
    async for batch in source.batches():
        assert batch.readings == []
    assert [(link.name, link.up) for link in source.links] == [("one", True)]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "words"),
    [("ghost", "named 'ghost' is installed; known: acme, odd"), ("odd", "is no telem")],
)
def test_source_that_is_none_is_refused_in_words(name: str, words: str) -> None:
    with pytest.raises(SourceRefused, match=words):
        opened(analytics={"sources": [{"name": name}]})
