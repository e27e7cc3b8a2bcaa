"""The tree: what is above, what is below, who reaches whom."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from config.settings import SiteSettings
from server.store.database import Database
from server.store.errors import NoSuchSite, SiteRefused
from server.store.sites import LEVELS, Site, SiteTree, at_or_below
from server.store.tables import sites


def test_questions_of_a_tree(tree: SiteTree) -> None:
    assert tree.ancestors("mine-a") == ("liulin", "lvliang", "shanxi", "cn")
    assert tree.ancestors("cn") == ()
    assert tree.descendants("lvliang") == ("liulin", "zhongyang", "mine-a", "mine-b")
    assert tree.descendants("mine-a") == ()
    assert [site.site for site in tree.below("liulin")] == ["liulin", "mine-a"]
    assert tree.rooms_of("mine-a") == ["site:mine-a", "site:liulin", "site:lvliang", "site:shanxi", "site:cn"]
    assert tree.level("liulin") == "county"
    assert tree["mine-a"].path == "/cn/shanxi/lvliang/liulin/mine-a/"
    assert "mine-a" in tree
    assert "mine-x" not in tree
    assert len(tree) == 7


def test_a_site_reaches_itself_and_below_only(tree: SiteTree) -> None:
    assert tree.reaches("liulin", "mine-a")
    assert tree.reaches("mine-a", "mine-a")
    assert not tree.reaches("mine-a", "liulin")
    assert not tree.reaches("liulin", "mine-b")
    assert not tree.reaches("liulin", "nowhere")
    assert not tree.reaches("nowhere", "nowhere")


@pytest.mark.parametrize("question", ["ancestors", "descendants", "level", "rooms_of", "below"])
def test_a_question_about_a_site_that_is_not_there(tree: SiteTree, question: str) -> None:
    with pytest.raises(NoSuchSite):
        getattr(tree, question)("nowhere")


async def test_a_tree_is_read_back_as_it_was(database: Database, tree: SiteTree) -> None:
    again = await SiteTree.load(database)
    assert again.below("cn") == tree.below("cn")
    assert again.ancestors("mine-b") == tree.ancestors("mine-b")


async def test_names_may_change_and_place_may_not(database: Database, tree: SiteTree) -> None:
    await tree.add("mine-a", "liulin", "mine", "新名", "New name", kind="coal", data={"shafts": 2})
    assert (await SiteTree.load(database))["mine-a"] == tree["mine-a"]
    assert tree["mine-a"].name_zh == "新名"
    assert tree["mine-a"].as_dict() == {
        "site": "mine-a",
        "parent": "liulin",
        "level": "mine",
        "name_zh": "新名",
        "name_en": "New name",
    }
    assert tree.descendants("liulin") == ("mine-a",)
    with pytest.raises(SiteRefused):
        await tree.add("mine-a", "zhongyang", "mine", "甲", "A")
    with pytest.raises(SiteRefused):
        await tree.add("mine-a", "liulin", "county", "甲", "A")


@pytest.mark.parametrize(
    ("site", "parent", "level"),
    [
        ("x", "mine-a", "mine"),
        ("x", "liulin", "city"),
        ("x", "cn", "village"),
        ("a/b", "cn", "mine"),
        ("", "cn", "mine"),
    ],
)
async def test_what_does_not_fit_is_refused(tree: SiteTree, site: str, parent: str, level: str) -> None:
    with pytest.raises(SiteRefused):
        await tree.add(site, parent, level, "名", "name")
    assert site not in tree


async def test_a_parent_must_be_there(tree: SiteTree) -> None:
    with pytest.raises(NoSuchSite):
        await tree.add("x", "nowhere", "mine", "名", "name")


async def test_settings_make_what_is_missing_in_any_order(database: Database) -> None:
    wanted = [
        SiteSettings(site="m", parent="c", level="mine", name_zh="矿", name_en="Mine"),
        SiteSettings(site="c", parent=None, level="county", name_zh="县", name_en="County"),
    ]
    tree = await SiteTree.load(database)
    await tree.ensure(wanted)
    await tree.add("m", "c", "mine", "改", "Renamed")
    await tree.ensure(wanted)
    assert tree["m"].name_en == "Renamed"
    with pytest.raises(NoSuchSite):
        await tree.ensure([SiteSettings(site="y", parent="z", level="mine", name_zh="矿", name_en="Mine")])


async def test_a_query_finds_exactly_what_the_tree_says_is_below(database: Database, tree: SiteTree) -> None:
    await tree.add("liu", "lvliang", "county", "柳", "Liu")
    await tree.add("liu_in", "lvliang", "county", "柳", "Under the wildcard")
    await tree.add("under", "liu_in", "mine", "矿", "Mine")
    async with database.reading() as connection:
        for site in ("cn", "liu", "liu_in", "liulin", "mine-a"):
            found = await connection.scalars(select(sites.c.site).where(at_or_below(sites.c.site, tree[site].path)))
            assert set(found) == {one.site for one in tree.below(site)}


@st.composite
def random_trees(draw: st.DrawFn) -> list[tuple[str, str | None, str]]:
    made: list[tuple[str, str | None, str]] = [("s0", None, "nation")]
    for number in range(1, draw(st.integers(1, 25))):
        fitting = [(site, level) for site, _, level in made if level != "mine"]
        parent, above = draw(st.sampled_from(fitting))
        level = draw(st.sampled_from(LEVELS[LEVELS.index(above) + 1 :]))
        made.append((f"s{number}", parent, level))
    return made


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=random_trees())
def test_reach_is_the_same_as_walking_up_the_parents(made: list[tuple[str, str | None, str]]) -> None:
    tree = SiteTree.__new__(SiteTree)
    tree._sites, tree._ancestors, tree._children = {}, {}, {}
    paths = {"": "/"}
    for site, parent, level in made:
        paths[site] = paths[parent or ""] + site + "/"
        tree._take(Site(site, parent, level, "", "", paths[site]))
    parents = {site: parent for site, parent, _ in made}
    for viewer in parents:
        below = set()
        for site in parents:
            walk: str | None = site
            while walk is not None and walk != viewer:
                walk = parents[walk]
            reached = walk == viewer
            assert tree.reaches(viewer, site) == reached
            assert paths[site].startswith(paths[viewer]) == reached
            below |= {site} if reached else set()
        assert {viewer, *tree.descendants(viewer)} == below
