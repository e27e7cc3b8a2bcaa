"""The parts of duty, joined: who is called, who is on duty, whether he is there, and who comes after him."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from config.settings import Settings
from server.alerts.service import AlertService
from server.bus import Bus
from server.conductor import Conductor
from server.duty.challengedesk import ChallengeDesk
from server.duty.checks import Checks
from server.duty.drills import Drills
from server.duty.handovers import Handovers
from server.duty.rotaservice import RotaService
from server.duty.screens import armed, screens
from server.duty.service import Escalations
from server.duty.standing import standing
from server.posts import DutyPosts
from server.sessions.service import SessionService
from server.store.database import Database
from server.store.sites import SiteTree


@dataclass(frozen=True, slots=True)
class DutyOffice:
    """Everything about duty that lives as long as the server. Made by `open`, then `load`."""

    escalations: Escalations
    rota: RotaService
    challenges: ChallengeDesk
    checks: Checks
    handovers: Handovers
    drills: Drills

    @classmethod
    def open(
        cls,
        settings: Settings,
        database: Database,
        tree: SiteTree,
        bus: Bus,
        alerts: AlertService,
        sessions: SessionService,
    ) -> "DutyOffice":
        """Alerts are followed from now on."""
        escalations = Escalations(settings, database, tree, bus, alerts, rooms_about=sessions.rooms_about)
        rota = RotaService(settings.duty, database, tree, alerts)
        rota.phones = lambda: escalations.phones
        escalations.call_list = rota
        alerts.follower = escalations
        challenges = ChallengeDesk(settings.duty, tree.rooms_of, simulated=settings.server.simulated)
        escalations.on_drilled = rota.rung_in_drill
        checks = Checks(settings, database, tree, bus, alerts)
        checks.on_duty = lambda site: tuple(one.name for one in rota.rota.on(site, "on_duty", time.time()))
        handovers = Handovers(settings, database, tree, bus, alerts, rota)
        drills = Drills(settings, database, tree, alerts, sessions)
        drills.test_numbers, drills.stop_numbers = rota.ask_drill, rota.stop_drill
        return cls(escalations, rota, challenges, checks, handovers, drills)

    async def load(
        self, conductor: Conductor, posts: DutyPosts, alerts: AlertService, sessions: SessionService
    ) -> None:
        """Take up what is stored; `conductor` knows whose pages are open, the rules of `posts` warn."""
        there = partial(screens, conductor)
        self.escalations.screens = self.challenges.screens = self.checks.screens = there
        self.escalations.armed = partial(armed, conductor)
        self.checks.picture = posts.site_picture
        self.handovers.standing = lambda site: standing(site, alerts, self.escalations, sessions, conductor)
        self.handovers.posts = lambda site: tuple((str(one["post"]), str(one["state"])) for one in posts.states([site]))
        self.challenges.note = conductor.note
        self.challenges.on_answered, self.challenges.on_unanswered = posts.answered, posts.unanswered
        posts.on_warned, posts.on_over = self.challenges.warned, self.challenges.over
        await self.rota.load()
        await self.checks.load()
        await self.escalations.load()
        await self.drills.load()

    def units(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs, by name."""
        return {
            "escalations": self.escalations.run,
            "rota": self.rota.run,
            "challenges": self.challenges.run,
            "checks": self.checks.run,
            "handovers": self.handovers.run,
            "drills": self.drills.run,
        }
