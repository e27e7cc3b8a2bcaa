"""The inbox folder: what is read, what is moved where, and when it is written down."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from analytics.plugin import Batch
from analytics.telemetry.acceptance import Judged, Known
from analytics.telemetry.files import FileSource
from config.settings import FilesSettings
from tests.fakes.minefiles import MINE, T0, person, ryss


class Ledger:
    def __init__(self) -> None:
        self.rows: list[tuple[str, str, Judged]] = []

    async def known(self, name: str, sha256: str, mine: str, type: str) -> Known:
        taken = [one for one in self.rows if one[2].status in ("DONE", "PARTIAL")]
        times = [one[2].at for one in taken if (one[2].mine, one[2].type) == (mine, type) and one[2].at is not None]
        return Known(any(one[:2] == (name, sha256) for one in taken), max(times, default=None))

    async def add(self, name: str, sha256: str, judged: Judged) -> None:
        self.rows.append((name, sha256, judged))


class Inbox:
    """One scan at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger()
        self.now = T0 + 10
        given: dict[str, Any] = {"inbox": folder, "scan_interval_s": 0.001, "mines": [{"mine": MINE, "site": "hongqi"}]}
        self.settings = FilesSettings.model_validate(given)
        (folder / MINE).mkdir(parents=True)

    def drop(self, file: tuple[str, str], folder: str = MINE) -> Path:
        path = self.folder / folder / file[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file[1], "utf-8")
        os.utime(path, (T0, T0))
        return path

    async def scan(self, *, store: bool = True) -> list[Batch]:
        """Batches of what lies there, stored unless said otherwise; a last file shows that the scan is over."""
        last = self.drop(ryss(T0 + 9, [person(99)]), f"zz/{MINE}")
        source = FileSource(self.settings, self.ledger, wall=lambda: self.now)
        found: list[Batch] = []
        batches = source.batches()
        async for batch in batches:
            if batch.positions[0].tag.endswith("99"):
                break
            found.append(batch)
            if store:
                await batch.stored()
        await batches.aclose()
        last.unlink()
        return found

    @property
    def statuses(self) -> list[str]:
        return [judged.status for _, _, judged in self.ledger.rows]

    def lies(self, folder: str) -> list[str]:
        path = self.folder / folder
        return sorted(one.name for one in path.iterdir()) if path.exists() else []


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


async def test_a_file_is_written_down_and_moved_only_after_it_is_stored(inbox: Inbox) -> None:
    path = inbox.drop(ryss(T0, [person(1), person(2, "2")]))
    (batch,) = await inbox.scan(store=False)
    assert path.exists()
    assert inbox.statuses == []
    assert len(batch.positions) == 2
    (batch,) = await inbox.scan()
    assert not path.exists()
    assert inbox.statuses == ["DONE"]
    assert inbox.lies(f"done/{MINE}") == [path.name]
    (name, sha256, _), *_ = inbox.ledger.rows
    assert sha256 == hashlib.sha256((inbox.folder / "done" / MINE / name).read_bytes()).hexdigest()


async def test_a_second_copy_is_kept_beside_the_first(inbox: Inbox) -> None:
    file = ryss(T0, [person(1)])
    for _ in range(2):
        inbox.drop(file, f"jxry/{MINE}")
        await inbox.scan()
    assert inbox.statuses == ["DONE", "DUPLICATE"]
    assert inbox.lies(f"done/{MINE}") == [file[0], f"{file[0]}.1"]


async def test_a_file_that_was_written_down_and_not_yet_moved_is_only_moved(inbox: Inbox) -> None:
    path = inbox.drop(ryss(T0, [person(1)]))
    await inbox.scan()
    (inbox.folder / "done" / MINE / path.name).rename(path)
    assert await inbox.scan() == []
    assert inbox.statuses == ["DONE"]
    assert inbox.lies(f"done/{MINE}") == [path.name]


async def test_an_unfinished_file_lies_still_and_then_fails(inbox: Inbox) -> None:
    name, text = ryss(T0, [person(1)])
    path = inbox.drop((name, text[:-2]))
    await inbox.scan()
    assert path.exists()
    inbox.now = T0 + 601
    await inbox.scan()
    assert inbox.statuses == ["FAILED"]
    assert inbox.lies("error") == [name]


async def test_an_older_file_is_stale_and_still_gives_its_samples(inbox: Inbox) -> None:
    for at in (T0, T0 - 300):
        inbox.drop(ryss(at, [person(1)]))
        (batch,) = await inbox.scan()
    assert inbox.statuses == ["DONE", "STALE"]
    assert batch.positions[0].source_at == T0 - 300


async def test_files_are_taken_in_the_order_of_their_times(inbox: Inbox) -> None:
    for at in (T0, T0 - 600, T0 - 300):
        inbox.drop(ryss(at, [person(1)]))
    await inbox.scan()
    assert inbox.statuses == ["DONE"] * 3


async def test_i17_a_link_is_moved_itself_and_never_followed(inbox: Inbox, tmp_path: Path) -> None:
    name, text = ryss(T0, [person(1)])
    secret, folder = tmp_path / "secret.txt", tmp_path / "elsewhere"
    secret.write_text(text, "utf-8")
    folder.mkdir()
    (inbox.folder / MINE / name).symlink_to(secret)
    (inbox.folder / "0-linked").symlink_to(folder)
    assert await inbox.scan() == []
    assert [(one.status, one.reason) for _, _, one in inbox.ledger.rows] == [("FAILED", "symbolic_link")] * 2
    assert inbox.lies("error") == ["0-linked", name]
    assert (inbox.folder / "error" / name).is_symlink()
    assert secret.read_text("utf-8") == text


async def test_i18_hidden_files_are_left_where_they_are(inbox: Inbox) -> None:
    hidden = inbox.drop((".DS_Store", "x"))
    await inbox.scan()
    assert hidden.exists()
    assert inbox.statuses == []


@pytest.mark.parametrize(("folder", "content"), [("", b"x||"), (MINE, b"\xff\xfe||")])
async def test_what_cannot_be_taken_goes_to_the_errors(inbox: Inbox, folder: str, content: bytes) -> None:
    name, _ = ryss(T0, [])
    (inbox.folder / folder / name).write_bytes(content)
    assert await inbox.scan() == []
    assert inbox.statuses == ["FAILED"]
    assert inbox.lies("error") == [name]


async def test_a_large_file_is_several_batches_and_settled_after_the_last(inbox: Inbox) -> None:
    path = inbox.drop(ryss(T0, [person(n) for n in range(100, 2600)]))
    source = FileSource(inbox.settings, inbox.ledger, wall=lambda: inbox.now)
    batches, sizes = source.batches(), list[int]()
    async for batch in batches:
        sizes.append(len(batch.positions))
        assert path.exists()
        await batch.stored()
        if len(sizes) == 3:
            break
    await batches.aclose()
    assert sizes == [1000, 1000, 500]
    assert not path.exists()
    assert inbox.statuses == ["DONE"]


async def test_a_name_that_is_no_text_and_a_pipe_hold_nothing_up(inbox: Inbox) -> None:
    path = os.path.join(os.fsencode(inbox.folder / MINE), b"\xff_RYSS_20260921221320.txt")
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.mkfifo(inbox.folder / MINE / "pipe.txt")
    inbox.drop(ryss(T0, [person(1)]))
    assert len(await inbox.scan()) == 1
    assert sorted(inbox.statuses) == ["DONE", "FAILED"]


async def test_without_an_inbox_there_is_nothing(tmp_path: Path) -> None:
    assert [batch async for batch in FileSource(FilesSettings(), Ledger()).batches()] == []


async def test_the_log_names_no_person(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    inbox.drop(ryss(T0, [*(person(n, name="王某某") for n in range(9)), person(9, name="王某某", flag="7")]))
    await inbox.scan()
    assert inbox.statuses == ["PARTIAL"]
    assert "PARTIAL" in caplog.text
    assert "王某某" not in caplog.text
