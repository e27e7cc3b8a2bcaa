"""The lite agent: who is believed, where packets go, when consent ends."""

from media.transport import stun
from media.transport.icelite import CONSENT_S, MAX_ADDRESSES, Credentials, IceLite

OURS = Credentials("ours", "our-password")
NEW = Credentials("newer", "newer-password")
HOME, ELSEWHERE = ("192.0.2.1", 1000), ("198.51.100.7", 2000)


def request(
    credentials: Credentials = OURS, *, nominate: bool = False, kind: int = stun.BINDING_REQUEST
) -> stun.Message:
    attributes = [(stun.USERNAME, f"{credentials.ufrag}:theirs".encode())]
    if nominate:
        attributes.append((stun.USE_CANDIDATE, b""))
    return stun.parse(stun.build(kind, bytes(12), attributes, credentials.password))


def test_authentic_check_is_answered_and_verifies_its_address() -> None:
    agent = IceLite(OURS, now=0)
    answer = agent.check(request(), HOME, now=1)
    assert answer is not None
    assert answer.selected
    assert agent.addresses == (HOME,)
    assert agent.selected == HOME
    assert stun.parse(answer.datagram).is_authentic(OURS.password)


def test_wrong_password_unknown_user_and_other_message_types_are_ignored() -> None:
    agent = IceLite(OURS, now=0)
    assert agent.check(request(Credentials("ours", "guess")), HOME, now=1) is None
    assert agent.check(request(NEW), HOME, now=1) is None
    assert agent.check(request(kind=stun.BINDING_INDICATION), HOME, now=1) is None
    assert agent.addresses == ()
    assert agent.last_check == 0


def test_only_a_nomination_moves_a_nominated_peer() -> None:
    agent = IceLite(OURS, now=0)
    agent.check(request(nominate=True), HOME, now=1)
    plain = agent.check(request(), ELSEWHERE, now=2)
    assert plain is not None
    assert not plain.selected
    assert agent.selected == HOME
    moved = agent.check(request(nominate=True), ELSEWHERE, now=3)
    assert moved is not None
    assert moved.selected
    assert agent.selected == ELSEWHERE


def test_restart_keeps_the_old_credentials_until_the_next() -> None:
    agent = IceLite(OURS, now=0)
    agent.check(request(nominate=True), HOME, now=1)
    assert agent.restart(NEW) is None
    assert agent.check(request(), HOME, now=2) is not None
    assert agent.check(request(NEW), ELSEWHERE, now=2) is not None
    assert agent.selected == HOME
    assert agent.check(request(NEW, nominate=True), ELSEWHERE, now=3) is not None
    assert agent.selected == ELSEWHERE
    assert agent.restart(Credentials("third", "third-password")) == OURS.ufrag
    assert agent.check(request(), HOME, now=4) is None


def test_addresses_are_bounded_and_the_selected_one_stays() -> None:
    agent = IceLite(OURS, now=0)
    agent.check(request(nominate=True), HOME, now=1)
    forgotten = []
    for port in range(MAX_ADDRESSES + 3):
        answer = agent.check(request(), ("203.0.113.1", port), now=2)
        assert answer is not None
        forgotten.append(answer.forgotten)
    assert len(agent.addresses) == MAX_ADDRESSES
    assert HOME in agent.addresses
    assert [each for each in forgotten if each] == [("203.0.113.1", port) for port in range(4)]


def test_consent_ends_thirty_seconds_after_the_last_check() -> None:
    agent = IceLite(OURS, now=0)
    agent.check(request(), HOME, now=10)
    assert agent.has_consent(10 + CONSENT_S - 0.1)
    assert not agent.has_consent(10 + CONSENT_S)
