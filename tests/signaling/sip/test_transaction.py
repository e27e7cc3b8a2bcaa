"""The four transactions on virtual time, timer by timer."""

import pytest

from signaling.sip.transaction import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Action,
    Input,
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
    State,
    Table,
    Transaction,
)


def run_until_quiet(tx: Transaction) -> list[tuple[float, Action]]:
    """Jump from timer to timer; 32 s of protocol in microseconds."""
    log: list[tuple[float, Action]] = []
    while (at := tx.next_timeout()) is not None:
        log += [(at, action) for action in tx.timeout(at)]
    return log


def repeats(log: list[tuple[float, Action]]) -> list[float]:
    return [at for at, action in log if action is Action.RESEND]


def test_timer_a_doubles_and_timer_b_ends() -> None:
    tx = InviteClient(0.0)
    log = run_until_quiet(tx)
    assert repeats(log) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert log[-1] == (32.0, Action.TIMED_OUT)
    assert tx.state is State.TERMINATED


def test_over_tcp_nothing_is_repeated() -> None:
    assert run_until_quiet(InviteClient(0.0, reliable=True)) == [(32.0, Action.TIMED_OUT)]
    assert run_until_quiet(NonInviteClient(0.0, reliable=True)) == [(32.0, Action.TIMED_OUT)]


def test_a_ringing_call_never_times_out() -> None:
    tx = InviteClient(0.0)
    assert tx.response(180, 0.1) == [Action.DELIVER]
    assert tx.next_timeout() is None


@pytest.mark.parametrize(("reliable", "ends"), [(False, 33.0), (True, 1.0)])
def test_timer_d_every_failure_is_acked(reliable: bool, ends: float) -> None:
    tx = InviteClient(0.0, reliable)
    assert tx.response(486, 1.0) == [Action.ACK_AND_DELIVER]
    assert tx.response(486, 1.0) == [Action.ACK]
    assert run_until_quiet(tx) == [(ends, Action.DONE)]


def test_timer_m_every_2xx_is_delivered() -> None:
    tx = InviteClient(0.0)
    assert tx.response(200, 1.0) == [Action.DELIVER]
    assert tx.response(200, 2.0) == [Action.DELIVER]
    assert tx.response(486, 2.0) == []
    assert run_until_quiet(tx) == [(33.0, Action.DONE)]


def test_timer_e_doubles_to_t2_and_timer_f_ends() -> None:
    log = run_until_quiet(NonInviteClient(0.0))
    assert repeats(log) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert log[-1] == (32.0, Action.TIMED_OUT)


def test_timer_e_is_t2_after_a_provisional_and_f_goes_on() -> None:
    tx = NonInviteClient(0.0)
    assert tx.response(100, 0.1) == [Action.DELIVER]
    log = run_until_quiet(tx)
    assert repeats(log) == [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert log[-1] == (32.0, Action.TIMED_OUT)


@pytest.mark.parametrize(("reliable", "ends"), [(False, 6.0), (True, 1.0)])
def test_timer_k_absorbs_repeated_answers(reliable: bool, ends: float) -> None:
    tx = NonInviteClient(0.0, reliable)
    assert tx.response(200, 1.0) == [Action.DELIVER]
    assert tx.response(200, 1.0) == []
    assert run_until_quiet(tx) == [(ends, Action.DONE)]


def test_timer_g_repeats_the_failure_and_timer_h_gives_up() -> None:
    tx = InviteServer(0.0)
    assert tx.response(486, 0.0) == [Action.SEND]
    log = run_until_quiet(tx)
    assert repeats(log) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert log[-1] == (32.0, Action.TIMED_OUT)


@pytest.mark.parametrize(("reliable", "ends"), [(False, 6.0), (True, 1.0)])
def test_timer_i_absorbs_repeated_acks(reliable: bool, ends: float) -> None:
    tx = InviteServer(0.0, reliable)
    tx.response(486, 0.0)
    assert tx.ack(1.0) == []
    assert tx.ack(1.0) == []
    assert tx.state is State.CONFIRMED
    assert run_until_quiet(tx) == [(ends, Action.DONE)]


def test_timer_l_absorbs_invites_and_hands_acks_on() -> None:
    tx = InviteServer(0.0)
    assert tx.response(200, 1.0) == [Action.SEND]
    assert tx.request(1.5) == []
    assert tx.response(200, 1.5) == [Action.SEND]
    assert tx.ack(2.0) == [Action.DELIVER]
    assert tx.response(486, 2.0) == []
    assert run_until_quiet(tx) == [(33.0, Action.DONE)]


@pytest.mark.parametrize(("reliable", "ends"), [(False, 33.0), (True, 1.0)])
def test_timer_j_answers_repeats(reliable: bool, ends: float) -> None:
    tx = NonInviteServer(0.0, reliable)
    assert tx.request(0.5) == []
    assert tx.response(200, 1.0) == [Action.SEND]
    assert tx.request(1.0) == [Action.RESEND]
    assert tx.response(500, 1.0) == []
    assert run_until_quiet(tx) == [(ends, Action.DONE)]


@pytest.mark.parametrize("kind", [InviteClient, NonInviteClient, InviteServer, NonInviteServer])
def test_a_dead_transport_ends_it(kind: type[Transaction]) -> None:
    tx = kind(0.0)
    assert tx.fail(0.1) == [Action.FAILED]
    assert tx.fail(0.1) == []
    assert tx.next_timeout() is None or run_until_quiet(tx) == []


@pytest.mark.parametrize(
    ("table", "letters", "kind"),
    [
        (INVITE_CLIENT, "ABDM", InviteClient),
        (NON_INVITE_CLIENT, "EFK", NonInviteClient),
        (INVITE_SERVER, "GHIL", InviteServer),
        (NON_INVITE_SERVER, "J", NonInviteServer),
    ],
)
def test_each_table_has_its_timers_and_no_dead_end(table: Table, letters: str, kind: type[Transaction]) -> None:
    expected = {Input[f"TIMER_{letter}"] for letter in letters}
    assert {given for _, given in table if given.name.startswith("TIMER")} == expected
    assert {timer for timers in kind.timers.values() for timer, _, _ in timers} == expected
    reached = {state for state, _ in table.values()} | {kind.first}
    assert {state for state, _ in table} == reached - {State.TERMINATED}
