"""The stage of the demonstration: sites, settings, accounts, links and camera tokens."""

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from config.settings import DeviceSettings, Settings, SiteSettings
from server.bus.memory import MemoryBus
from server.commands.accounts import opened
from server.demo.cameras import CAMERAS
from server.demo.facts import facts, stopped
from server.demo.mine import TERMINALS
from server.demo.story import Story
from server.demo.world import PERSONS_UNDERGROUND, VEHICLES
from server.identity.roles import Role
from server.registry.service import Registry
from server.store.database import Database
from server.store.sites import SiteTree

HTTP_PORT = 8443
MEDIA_PORT = 8443
MINE = "hongqi"
POST = "dispatch-desk"
LINK_LIFE_S = 24 * 3600.0

SITES: tuple[SiteSettings, ...] = (
    SiteSettings(site="cn", level="nation", name_zh="国家（演示）", name_en="Nation (demo)"),
    SiteSettings(site="province", parent="cn", level="province", name_zh="演示省", name_en="Demo Province"),
    SiteSettings(site="city", parent="province", level="city", name_zh="演示市", name_en="Demo City"),
    SiteSettings(site="county", parent="city", level="county", name_zh="演示县", name_en="Demo County"),
    SiteSettings(site=MINE, parent="county", level="mine", name_zh="红旗煤矿", name_en="Hongqi Mine"),
    SiteSettings(
        site="dongfeng", parent="county", level="mine", name_zh="东风煤矿（已停产）", name_en="Dongfeng Mine (stopped)"
    ),
)


KINDS: dict[str, tuple[str, str, str]] = {
    "fan-main": ("main_fan", "主通风机", "Main fan"),
    "fan-aux": ("aux_fan", "局部通风机", "Auxiliary fan"),
    "hoist": ("hoist", "主提升机", "Main hoist"),
    "belt": ("belt", "主运输皮带", "Main belt"),
    "pump-1": ("pump", "1号主排水泵", "Drainage pump 1"),
    "pump-2": ("pump", "2号主排水泵", "Drainage pump 2"),
    "substation": ("substation", "井下中央变电所", "Central substation"),
    "heading": ("other", "掘进机", "Roadheader"),
}
"""Device → kind and names, of both mines."""


def devices(story: Story) -> list[DeviceSettings]:
    """The machines of the simulated mines, as the rules know them. Only the main fan must run."""
    return [
        DeviceSettings.model_validate(
            {
                "site": terminal.site,
                "device": terminal.device,
                "kind": KINDS[terminal.device][0],
                "name_zh": KINDS[terminal.device][1],
                "name_en": KINDS[terminal.device][2],
                "rated_a": terminal.rated_a,
                "rated_v": terminal.volts,
                "required": terminal.device == "fan-main",
                "expected_period_s": 10.0,  # they send each second; a busy laptop is no gap
                "parameters": {"fan_stop_s": min(5.0, 5.0 / story.speed)} if terminal.device == "fan-main" else {},
            }
        )
        for terminal in TERMINALS
    ]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to log in as."""

    login: str
    name: str
    role: Role
    site: str
    title_zh: str
    title_en: str
    host: str
    """A log-in is kept per host name; a name of its own for each lets one browser be all of them side by side."""


PERSONS: tuple[Person, ...] = (
    Person("dispatcher", "矿调度员 Dispatcher", "dispatcher", MINE, "红旗煤矿调度台", "Dispatch desk", "127.0.0.1"),
    Person("county", "县级值班员 County", "supervisor", "county", "县级监管", "County", "county.localhost"),
    Person("city", "市级值班员 City", "supervisor", "city", "市级监管", "City", "city.localhost"),
    Person("province", "省级值班员 Province", "supervisor", "province", "省级监管", "Province", "province.localhost"),
    Person("admin", "管理员 Admin", "admin", "cn", "系统管理员", "Administrator", "admin.localhost"),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that was prepared."""

    config: Path
    url: str
    http_port: int
    media_port: int
    mqtt_port: int
    links: dict[str, str]
    """Login → one-time link."""
    opening_link: str
    """A further one for the dispatcher, for the browser that is opened."""
    token_files: dict[str, Path]
    """Camera → file of its token."""
    note: str
    """Burned into the dispatch room's pictures: the thresholds are not the real ones."""


def free_port(preferred: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """`preferred` or one of the next hundred on loopback, whichever is free; else any.

    Raises:
        OSError: no port at all.
    """
    for port in (*range(preferred, preferred + 100), 0):
        with socket.socket(socket.AF_INET, kind) as sock:
            if kind == socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(sock.getsockname()[1])
    raise OSError("No port of this machine is free.")


def settings_for(folder: Path, story: Story, http_port: int, media_port: int, mqtt_port: int) -> Settings:
    """Settings of the demonstration's server."""
    return Settings.model_validate(
        {
            "server": {
                "listen_host": "127.0.0.1",
                "listen_port": http_port,
                "tls": "off",
                "data_dir": str(folder / "data"),
                "simulated": True,
                "log_format": "json",
            },
            "media": {"listen_host": "127.0.0.1", "udp_port": media_port},
            "mqtt": {"host": "127.0.0.1", "port": mqtt_port, "client_id": "lamproom-demo"},
            "analytics": {
                "posts": [
                    {
                        "post": POST,
                        "site": MINE,
                        "camera": "dispatch-room",
                        "name_zh": "调度值班岗（演示：阈值已缩短）",
                        "name_en": "Dispatch desk (demo: shortened thresholds)",
                        "warn_after_s": story.warn_after_s,
                        "alarm_after_s": story.alarm_after_s,
                        "sleep_warn_after_s": story.sleep_warn_after_s,
                        "sleep_alarm_after_s": story.sleep_alarm_after_s,
                    }
                ]
            },
            "devices": [device.model_dump(exclude_defaults=True) for device in devices(story)],
            "sites": [site.model_dump(exclude_none=True) for site in SITES],
        }
    )


async def prepare(folder: Path, story: Story) -> Stage:
    """Choose ports, write the settings file, make accounts, links and camera tokens."""
    http_port = free_port(HTTP_PORT)
    media_port = free_port(MEDIA_PORT, socket.SOCK_DGRAM)
    mqtt_port = free_port(1883)
    settings = settings_for(folder, story, http_port, media_port, mqtt_port)
    config = folder / "lamproom.yaml"
    with config.open("w", encoding="utf-8") as written:
        YAML(typ="safe").dump(settings.model_dump(mode="json", exclude_defaults=True), written)
    links: dict[str, str] = {}
    token_files: dict[str, Path] = {}
    async with opened(settings) as (identity, database):
        await _register(database, identity.tree, story)
        for person in PERSONS:
            password = secrets.token_urlsafe(24)  # nobody knows it; these accounts log in by link
            user = await identity.add_user(person.login, password, name=person.name, role=person.role, site=person.site)
            code = await identity.make_link(user.user, ttl=LINK_LIFE_S)
            links[person.login] = f"http://{person.host}:{http_port}/enter/{code}"
            if person.login == "dispatcher":
                code = await identity.make_link(user.user, ttl=LINK_LIFE_S)
                opening_link = f"http://{person.host}:{http_port}/enter/{code}"
        for camera in CAMERAS:
            file = token_files[camera] = folder / f"{camera}.token"
            file.touch(0o600)
            file.write_text(identity.issue_device(f"site:{MINE}", camera).token, "utf-8")
    url = f"http://127.0.0.1:{http_port}"
    return Stage(config, url, http_port, media_port, mqtt_port, links, opening_link, token_files, _note(story))


async def _register(database: Database, tree: SiteTree, story: Story) -> None:
    """What is known of the mines, so that plan and muster have something to show."""
    registry = await Registry.load(database, tree, MemoryBus())
    machines = devices(story)
    await registry.change(MINE, facts(MINE, machines, PERSONS_UNDERGROUND, VEHICLES), by="", source="import")
    await registry.change("dongfeng", stopped("dongfeng", machines), by="", source="import")


def _note(story: Story) -> str:
    return (
        f"空岗 {story.warn_after_s:g}/{story.alarm_after_s:g}s"
        f" 睡岗 {story.sleep_warn_after_s:g}/{story.sleep_alarm_after_s:g}s"
    )
