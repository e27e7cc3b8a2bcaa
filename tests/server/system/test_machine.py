"""What Linux says of a process and of its clock."""

import os
from pathlib import Path

from server.system.machine import clock_facts, folder_of, process_facts


def test_this_process_is_found_with_its_figures() -> None:
    found = process_facts(os.getpid())
    assert found is not None
    assert found.memory_bytes > 1e6
    assert found.up_s >= 0
    assert found.files > 0


def test_a_name_with_a_bracket_and_spaces_moves_no_figure(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    fields = " ".join(str(n) for n in range(3, 53))
    (tmp_path / "7" / "stat").write_text(f"7 (a ) S name) {fields}")
    (tmp_path / "7" / "status").write_text("Name:\ta\nVmRSS:\t    2048 kB\n")
    (tmp_path / "uptime").write_text("1000.0 1.0")
    found = process_facts(7, tmp_path)
    assert found is not None
    ticks = os.sysconf("SC_CLK_TCK")
    assert (found.memory_bytes, found.cpu_s) == (2048 * 1024, (14 + 15) / ticks)
    assert found.up_s == 1000.0 - 22 / ticks
    assert found.threads == 20


def test_a_process_that_is_gone_is_none(tmp_path: Path) -> None:
    assert process_facts(7, tmp_path) is None


def test_the_kernel_says_something_of_its_clock() -> None:
    found = clock_facts()
    assert found.synchronised is None or found.error_s is None or found.error_s >= 0


def test_a_folder_that_is_not_there_yet_counts_as_the_one_above(tmp_path: Path) -> None:
    assert folder_of(tmp_path / "a" / "b") == tmp_path
