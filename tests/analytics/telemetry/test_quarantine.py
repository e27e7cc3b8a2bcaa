"""Gaps in a device's own count, and the counters."""

from analytics.telemetry.payload import Parsed, Reason, Rejected, Step
from analytics.telemetry.quarantine import KEPT_REFUSALS, Counters, Gap, Sequences


def test_gap_in_a_devices_count_is_noticed_with_its_size() -> None:
    sequences, counters = Sequences(), Counters()
    assert sequences.step("hongqi", "power", Step("fan", 7, 100.0), counters) is None
    assert sequences.step("hongqi", "power", Step("fan", 8, 101.0), counters) is None
    gap = sequences.step("hongqi", "power", Step("fan", 12, 105.0), counters)
    assert gap == Gap("hongqi", "fan", 8, 12)
    assert gap.missing == 3
    assert (counters.gaps, counters.missing) == (1, 3)


def test_devices_of_equal_name_at_two_sites_are_counted_apart() -> None:
    sequences, counters = Sequences(), Counters()
    sequences.step("hongqi", "power", Step("fan", 1, 100.0), counters)
    assert sequences.step("dongfeng", "power", Step("fan", 50, 100.0), counters) is None
    assert counters.gaps == 0


def test_repeat_is_no_gap_and_does_not_move_the_count() -> None:
    sequences, counters = Sequences(), Counters()
    for seq in (5, 6, 5, 6, 7):
        assert sequences.step("hongqi", "power", Step("fan", seq, 100.0 + seq), counters) is None
    assert counters.repeats == 2


def test_restarted_device_is_followed_from_its_new_count() -> None:
    sequences, counters = Sequences(), Counters()
    sequences.step("hongqi", "power", Step("fan", 900, 100.0), counters)
    assert sequences.step("hongqi", "power", Step("fan", 0, 200.0), counters) is None
    assert sequences.step("hongqi", "power", Step("fan", 3, 203.0), counters) == Gap("hongqi", "fan", 0, 3)
    assert counters.repeats == 0


def test_number_of_followed_devices_is_bounded() -> None:
    sequences, counters = Sequences(max_devices=3), Counters()
    for device in "abcd":
        sequences.step("hongqi", "power", Step(device, 1, 1.0), counters)
    assert sequences.step("hongqi", "power", Step("a", 9, 9.0), counters) is None  # forgotten: a new start
    assert sequences.step("hongqi", "power", Step("d", 9, 9.0), counters) is not None


def test_refusals_are_counted_by_reason_and_the_newest_kept() -> None:
    counters = Counters()
    for n in range(KEPT_REFUSALS + 5):
        parsed = Parsed()
        parsed.reject(Rejected(Reason.NOT_JSON, f"number {n}"))
        counters.take("lamproom/v1/hongqi/power/fan/event", parsed, float(n))
    assert counters.rejected == {Reason.NOT_JSON: KEPT_REFUSALS + 5}
    assert len(counters.refusals) == KEPT_REFUSALS
    assert counters.refusals[-1].detail == f"number {KEPT_REFUSALS + 4}"
