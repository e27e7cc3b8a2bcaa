"""Asks at the desk: from a rule's warning to a pop-up on the dispatcher's page, and back to the rule."""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Literal

from analytics.finding import Finding
from config.settings import DutyPostSettings, DutySettings
from server.duty.challenge import Challenge, Challenges, time_to_answer

TICK_S = 0.2

Note = Callable[[Iterable[str], str, dict[str, object]], None]


class ChallengeDesk:
    """Challenges of this server's posts."""

    def __init__(self, settings: DutySettings, rooms_of: Callable[[str], Iterable[str]], *, simulated: bool) -> None:
        """`rooms_of(site)`: the rooms in which news of a site is told."""
        self._settings = settings
        self._rooms_of = rooms_of
        self._simulated = simulated
        self._challenges = Challenges(settings.challenge_pause_s)
        self._names: dict[str, dict[str, str]] = {}
        self.note: Note = lambda rooms, kind, body: None
        """Writes an entry, soon and in order."""
        self.screens: Callable[[str], frozenset[str]] = lambda site: frozenset()
        self.on_answered: Callable[[str, list[str]], None] = lambda post, rules: None
        self.on_unanswered: Callable[[str, list[str], Literal["unanswered", "no_page"]], None] = (
            lambda post, rules, why: None
        )

    def warned(self, finding: Finding, post: DutyPostSettings) -> None:
        """A rule has warned about a post, and the alert is on disk."""
        times = {
            "absence": (post.warn_after_s, post.alarm_after_s),
            "sleeping": (post.sleep_warn_after_s, post.sleep_alarm_after_s),
        }.get(finding.rule)
        if times is None:
            return
        self._names[post.post] = {"zh": post.name_zh, "en": post.name_en}
        self._tell(
            self._challenges.warned(
                secrets.token_hex(8), post.post, post.site, finding.rule,
                time_to_answer(self._settings.challenge_s, *times), secrets.randbelow(9),
                page=bool(self.screens(post.site)), now=time.monotonic(), at=time.time(),
            )
        )  # fmt: skip

    def over(self, finding: Finding) -> None:
        """A rule's alert has ended."""
        self._tell(self._challenges.over(finding.subject, finding.rule))

    def answer(self, challenge: str, by: str) -> bool:
        """Somebody of the site has answered; False when it is too late."""
        changed = self._challenges.answered(challenge, by, time.monotonic(), time.time())
        self._tell(changed)
        return bool(changed)

    def site_of(self, challenge: str) -> str | None:
        found = self._challenges.find(challenge)
        return found.site if found is not None else None

    def views(self, sites: Iterable[str]) -> list[dict[str, object]]:
        """Pending challenges of these sites."""
        wanted = set(sites)
        return [self._body(one) for one in self._challenges.pending() if one.site in wanted]

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._tell(self._challenges.tick(time.monotonic()))

    def _tell(self, changed: Iterable[Challenge]) -> None:
        for one in changed:
            if one.outcome == "answered":
                self.on_answered(one.post, one.rules)
            elif one.outcome in ("unanswered", "no_page"):
                self.on_unanswered(one.post, one.rules, one.outcome)
            self.note(self._rooms_of(one.site), "challenge", self._body(one))

    def _body(self, one: Challenge) -> dict[str, object]:
        body = {**one.as_dict(), "name": self._names.get(one.post, {"zh": one.post, "en": one.post})}
        body["change"] = one.outcome
        if self._simulated:
            body["simulated"] = True
        return body
