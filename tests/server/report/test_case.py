"""The case folder: a ZIP file that is whole, hashed, and made in bounded memory."""

import hashlib
import io
import json
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator

from server.report.case import PIECE_BYTES, Item, folder, text

MANY = 600


async def large() -> AsyncGenerator[bytes, None]:
    """150 MB in pieces."""
    for number in range(MANY):
        yield bytes([number % 251]) * PIECE_BYTES


async def items() -> AsyncIterator[Item]:
    digest = hashlib.sha256(b"as it was").hexdigest()
    yield Item("report.json", 1.7e9, lambda: text('{"a": "报告"}'))
    yield Item("recordings/desk/0000.mkv", 1.7e9, lambda: text(b"as it was"), digest)
    yield Item("recordings/desk/0001.mkv", 1.7e9, lambda: text(b"something else"), digest)


async def test_every_file_is_in_the_manifest_with_its_hash() -> None:
    whole = b"".join([piece async for piece in folder(items(), {"session": "s1"})])
    archive = zipfile.ZipFile(io.BytesIO(whole))
    assert archive.testzip() is None
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["session"] == "s1"
    assert [one["path"] for one in manifest["files"]] + ["manifest.json", "manifest.sha256"] == archive.namelist()
    for one in manifest["files"]:
        data = archive.read(one["path"])
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one["bytes"], one["sha256"])
    assert [one.get("as_recorded") for one in manifest["files"]] == [None, True, False]
    sums = dict(line.split("  ")[::-1] for line in archive.read("manifest.sha256").decode().splitlines())
    assert sums == {one["path"]: one["sha256"] for one in manifest["files"]}


async def test_a_large_file_passes_in_pieces() -> None:
    async def one() -> AsyncIterator[Item]:
        yield Item("large.mkv", 1.7e9, large)

    largest = total = 0
    async for piece in folder(one(), {}):
        largest, total = max(largest, len(piece)), total + len(piece)
    assert total > MANY * PIECE_BYTES
    assert largest < 2 * PIECE_BYTES
