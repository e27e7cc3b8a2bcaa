"""Where a call of ours goes, and how it is shown there. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from config.settings import TrunkSettings
from media.phone.messages import Profile
from server.phones.caller import masked
from server.phones.devices import Phone
from server.phones.gate import profile_of
from signaling.sip.address import Address
from signaling.sip.callevents import Profile as SipProfile
from signaling.sip.registrar import Binding
from signaling.sip.transactionlayer import Flow
from signaling.sip.uri import SipUri, host_of


@dataclass(frozen=True, slots=True)
class Goal:
    """Where one call of ours goes."""

    peer: str
    name: str
    site: str
    called: str
    uri: SipUri
    flow: Flow
    profile: Profile
    sip: SipProfile
    local: Address
    fields: tuple[tuple[str, str], ...] = ()


def goal_at_phone(domain: str, phone: Phone, binding: Binding, *, video: bool) -> Goal:
    """One contact of a desk phone: over the flow that it registered by."""
    contact = binding.contact.uri
    uri = contact.bare() if isinstance(contact, SipUri) else SipUri(host_of(binding.flow.host), phone.phone)
    local = Address(SipUri(domain, "lamproom"), "Lamproom")
    profile = desk_profile(binding.flow.host, video=video)
    return Goal(
        f"phone:{phone.phone}", phone.name, phone.site, phone.phone, uri, binding.flow, profile, SipProfile(), local
    )


def desk_profile(host: str, *, video: bool) -> Profile:
    """Of a desk phone that speaks to us from this address."""
    return Profile(symmetric=True, signalled_ip=host, video=video)


def secured(goals: Sequence[Goal]) -> list[Goal]:
    """Once more for desk phones that refused an offer of encryption beside plain RTP (488): as RTP/SAVP, which a phone
    that must encrypt takes."""
    return [
        replace(goal, profile=goal.profile.model_copy(update={"srtp": "require"}))
        for goal in goals
        if goal.peer.startswith("phone:") and goal.profile.srtp == "allow"
    ]


def goal_by_trunk(trunk: TrunkSettings, number: str, site: str) -> Goal:
    """A number as the trunk wants it dialled."""
    return Goal(
        f"trunk:{trunk.name}", f"☎ {masked(number)}", site, number, _uri_at(trunk, number), flow_of(trunk),
        media_profile(trunk), profile_of(trunk), _shown_at(trunk), _caller_fields(trunk),
    )  # fmt: skip


def _shown_at(trunk: TrunkSettings) -> Address:
    if trunk.hide_caller:
        return Address(SipUri("anonymous.invalid", "anonymous"), "Anonymous")
    return Address(SipUri(host_of(trunk.host), trunk.caller or trunk.username or "lamproom"))


def media_profile(trunk: TrunkSettings, signalled: str = "") -> Profile:
    return Profile(srtp=trunk.srtp, symmetric=trunk.symmetric, signalled_ip=signalled or trunk.host, video=trunk.video)


def flow_of(trunk: TrunkSettings) -> Flow:
    connection = "" if trunk.transport == "udp" else f"{trunk.transport}:{trunk.host}:{trunk.port}"
    return Flow(trunk.host, trunk.port, connection)


def port_of(trunk: TrunkSettings) -> int | None:
    return None if trunk.port == 5060 else trunk.port


def _uri_at(trunk: TrunkSettings, number: str) -> SipUri:
    return SipUri(host_of(trunk.host), number.replace("#", "%23"), port_of(trunk), (("user", "phone"),))


def _caller_fields(trunk: TrunkSettings) -> tuple[tuple[str, str], ...]:
    shown = trunk.caller or trunk.username
    fields: tuple[tuple[str, str], ...] = ()
    if shown:
        fields = (("P-Asserted-Identity", f"<sip:{shown}@{host_of(trunk.host)}>"),)
    return (*fields, ("Privacy", "id")) if trunk.hide_caller else fields
