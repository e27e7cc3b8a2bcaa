"""By what a page takes part as its line gets worse and better: the table, in the browser that runs it."""

from typing import Any

import pytest

from tests.web.conftest import Screens

pytestmark = [pytest.mark.peer, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]

GOOD = {"online": True, "media": "flows", "loss": 0.0, "rtt": 0.05, "squeezed": False, "phones": True}

RUN = """async (spans) => {
  const { begin, step, hold } = await import('/static/js/ladder.js');
  let state = begin(0), now = 0;
  const seen = [];
  for (const { facts, seconds, held } of spans) {
    if (held !== undefined) state = hold(state, held, now);
    for (let until = now + seconds; now < until; ) {
      now += 0.5;
      const after = step(state, facts, now);
      if (after.rung !== state.rung) seen.push([now, after.rung, after.reason]);
      state = after;
    }
  }
  return { seen, rung: state.rung, patience: state.patience };
}"""


def span(seconds: float, held: bool | None = None, **more: Any) -> dict[str, Any]:
    return {"seconds": seconds, "facts": GOOD | more, **({} if held is None else {"held": held})}


CASES: dict[str, tuple[list[dict[str, Any]], list[list[Any]]]] = {
    "good": ([span(60)], []),
    "short trouble changes nothing": ([span(5.5, loss=0.5), span(10), span(5.5, rtt=3.0)], []),
    "between the limits nothing changes": ([span(60, loss=0.1, rtt=1.0)], []),
    "loss, and back": ([span(10, loss=0.2), span(25)], [[6.5, "audio", "loss"], [30.5, "video", ""]]),
    "slow": ([span(10, rtt=1.6)], [[6.5, "audio", "slow"]]),
    "narrow": ([span(10, squeezed=True)], [[6.5, "audio", "narrow"]]),
    "between the limits sound stays sound": ([span(10, loss=0.2), span(90, loss=0.1)], [[6.5, "audio", "loss"]]),
    "no media": ([span(20, media="waiting"), span(10)], [[12.5, "phone", "no_media"], [25.5, "audio", ""]]),
    "no media and no telephones": ([span(20, media="waiting", phones=False)], [[12.5, "text", "no_media"]]),
    "telephones go and come": (
        [span(13, media="waiting"), span(1, media="waiting", phones=False), span(1, media="waiting")],
        [[12.5, "phone", "no_media"], [13.5, "text", "no_media"], [14.5, "phone", "no_media"]],
    ),
    "deaf": ([span(20, loss=0.6)], [[6.5, "audio", "loss"], [19.0, "phone", "loss"]]),
    "nothing is decided without the link": ([span(60, media="waiting", loss=0.9, online=False)], []),
    "held": ([span(60, held=True, loss=0.3), span(7, held=False, loss=0.3)], [[66.5, "audio", "loss"]]),
    "held at sound": ([span(10, loss=0.2), span(30, held=True, loss=0.2)], [[6.5, "audio", "loss"]]),
}


async def test_every_line_of_the_table(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    for name, (spans, changes) in CASES.items():
        found = await page.evaluate(RUN, spans)
        assert found["seen"] == changes, name


async def test_who_falls_again_waits_longer_and_never_flaps(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    bad, good = span(7, loss=0.2), span(21)
    found = await page.evaluate(RUN, [bad, good, bad, span(39)])
    assert [rung for _, rung, _ in found["seen"]] == ["audio", "video", "audio"]
    assert found["patience"] == 2
    found = await page.evaluate(RUN, [bad, good] * 40)
    assert len(found["seen"]) < 12
    assert found["patience"] <= 15
