"""Reference pictures on the disk, and who may renew them."""

import base64
import contextlib
from pathlib import Path

import pytest

from analytics.messages import Learned
from analytics.vision.reference import ReferenceRefused
from server.references import References
from tests.analytics.vision.test_reference import reference
from tests.fakes.instance import Instance

PNG = reference(1).png()


@pytest.fixture
def references(tmp_path: Path) -> References:
    return References(tmp_path)


def test_what_was_kept_is_found_and_what_was_forgotten_is_not(references: References) -> None:
    assert references.of("mine-a", "desk") == {}
    references.put("mine-a", "desk", "day", PNG)
    references.put("mine-a", "desk", "infrared", PNG)
    references.put("mine-a", "gate", "day", PNG)
    assert references.of("mine-a", "desk") == {"day": PNG, "infrared": PNG}
    references.forget("mine-a", "desk")
    assert references.of("mine-a", "desk") == {}
    assert references.of("mine-a", "gate") == {"day": PNG}


def test_a_broken_picture_is_neither_written_nor_used(references: References, tmp_path: Path) -> None:
    references.put("mine-a", "desk", "day", PNG)
    with pytest.raises(ReferenceRefused):
        references.put("mine-a", "desk", "day", PNG[:100])
    assert references.of("mine-a", "desk") == {"day": PNG}
    (file,) = (tmp_path / "references").iterdir()
    file.write_bytes(PNG[:100])
    assert references.of("mine-a", "desk") == {}


async def test_an_engineer_renews_a_reference_and_nobody_below(tmp_path: Path) -> None:
    post = {"post": "desk", "site": "hongqi", "camera": "dispatch-room"}
    References(tmp_path / "data").put("hongqi", "dispatch-room", "day", PNG)
    where = "/api/cameras/reference"
    query = {"site": "hongqi", "name": "dispatch-room"}
    async with Instance(tmp_path, analytics={"posts": [post]}) as server, contextlib.AsyncExitStack() as stack:
        admin = await stack.enter_async_context(await server.session("admin"))
        dispatcher = await stack.enter_async_context(await server.session("dispatcher"))
        async with dispatcher.get(where, params=query) as answer:
            assert (answer.status, answer.content_type, await answer.read()) == (200, "image/png", PNG)
        async with dispatcher.post(where, json=query) as answer:
            assert answer.status == 403
        async with admin.post(where, json={**query, "name": "nowhere"}) as answer:
            assert answer.status == 404
        async with admin.post(where, json=query) as answer:
            assert answer.status == 204
        async with admin.get(where, params=query) as answer:
            assert answer.status == 404


def test_a_lesson_is_a_message_that_fits_the_link() -> None:
    png = base64.b64encode(PNG).decode()
    assert len(Learned(camera="a/b", mode="day", png=png, judgeable=True).model_dump_json()) < 1 << 18
