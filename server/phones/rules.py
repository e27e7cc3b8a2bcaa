"""Which rule a call falls under: numbers, trunks, prefixes, caps. Pure.

Every refusal has the name of the rule that made it, in the log, the API and on the page. `explain` runs the same code
for a call that nobody made.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.settings import PhoneRuleSettings, TrunkSettings
from signaling.sip.uri import SipUri, Uri

_LAYOUT = str.maketrans("", "", " -.()/")
_DIALLED = re.compile(r"\+?[0-9*#]{1,32}")
PHONES = "phones"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rules say: a refusal has `status` and `rule`."""

    rule: str
    why: str
    status: int = 0
    action: str = ""
    site: str = ""

    @property
    def refused(self) -> bool:
        return self.status != 0


def number(text: str) -> str:
    """Without its layout (blanks, dashes, dots, brackets); "" when it is no number."""
    plain = text.translate(_LAYOUT)
    return plain if _DIALLED.fullmatch(plain) else ""


def number_of(uri: Uri) -> str:
    """Of a `sip:` user part or a `tel:` URI."""
    if isinstance(uri, SipUri):
        return number((uri.user or "").split(";")[0].replace("%23", "#"))
    return number(uri.rest.split(";")[0]) if uri.scheme == "tel" else ""


def within(address: str, networks: Iterable[str]) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in ipaddress.ip_network(one) for one in networks)


def networks_of(trunk: TrunkSettings) -> tuple[str, ...]:
    return trunk.networks or (trunk.host,)


def trunk_at(address: str, trunks: Sequence[TrunkSettings]) -> TrunkSettings | None:
    """The trunk that calls from this address belong to."""
    return next((one for one in trunks if within(address, networks_of(one))), None)


def dispatch(rules: Sequence[PhoneRuleSettings], source: str, called: str, caller: str) -> Outcome:
    """The first rule that fits a call from `source`."""
    mine = [rule for rule in rules if rule.source == source]
    if not mine:
        return Outcome("no_rule", f"There is no rule for calls from {source}.", 403)
    for rule in mine:
        if not (called.startswith(rule.number) if rule.prefix else called == rule.number):
            continue
        if rule.callers and not any(caller.startswith(one) for one in rule.callers):
            continue
        if rule.action == "reject":
            return Outcome(rule.name, f"The rule {rule.name} refuses this call.", 403)
        return Outcome(rule.name, f"The rule {rule.name} fits.", action=rule.action, site=rule.site or "")
    return Outcome("no_match", f"None of the {len(mine)} rules for {source} fits the number {called or '(none)'}.", 404)


def dial(
    wanted: str, trunks: Sequence[TrunkSettings], calls: dict[str, int], dialled: dict[str, int]
) -> tuple[TrunkSettings | None, str, Outcome]:
    """The trunk for a number that we want to call, the number as it is dialled there, and why not.

    `calls`: how many each trunk has now; `dialled`: how many we made over it today.
    """
    plain = number(wanted)
    if not plain:
        return None, "", Outcome("not_a_number", f"{wanted!r} is no telephone number.", 484)
    refused = Outcome("no_prefix", f"No trunk may dial {plain}: no allowed prefix fits.", 403)
    for trunk in trunks:
        if not trunk.outbound or not any(plain.startswith(one) for one in trunk.prefixes):
            continue
        if calls.get(trunk.name, 0) >= trunk.max_calls:
            refused = Outcome("trunk_busy", f"The trunk {trunk.name} has {trunk.max_calls} calls, its most.", 503)
        elif dialled.get(trunk.name, 0) >= trunk.max_dialled_per_day:
            most = trunk.max_dialled_per_day
            refused = Outcome("daily_cap", f"The trunk {trunk.name} has dialled {most} times today, its most.", 503)
        else:
            out = trunk.prepend + plain.removeprefix(trunk.strip)
            return trunk, out, Outcome(trunk.name, f"The trunk {trunk.name} may dial it.", action="dial")
    return None, "", refused


def transfer_allowed(target: str, allowed: Sequence[str]) -> bool:
    return bool(target) and any(target.startswith(one) for one in allowed)
