"""A PostgreSQL server of our own for tests: in a folder of its own, on a free port, gone afterwards."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

START_S = 30.0


def programs() -> Path | None:
    """The folder that holds `initdb` and `postgres`, if the machine has them."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as_whom() -> int | None:
    """PostgreSQL refuses to run as root: then it runs as somebody with no rights."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    return None


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A server whose log is in `folder`; yields the URL of its database `postgres`.

    Its data lie in a folder of their own: where it runs as somebody else, pytest's folders are closed to it.
    """
    with tempfile.TemporaryDirectory(prefix="lamproom-postgresql-", ignore_cleanup_errors=True) as data:
        yield from _serving(Path(data), folder)


def _serving(data: Path, folder: Path) -> Iterator[str]:
    binaries = programs()
    assert binaries is not None
    whom = _as_whom()
    if whom is not None:
        os.chown(data, whom, -1)
    run = [
        binaries / "initdb",
        "--pgdata",
        data,
        "--auth",
        "trust",
        "--username",
        "lamproom",
        "--no-sync",
        "-E",
        "UTF8",
    ]
    subprocess.run([*map(str, run), "--no-locale"], check=True, capture_output=True, user=whom, cwd="/")
    port = free_port()
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", "", "-F"],
            stdout=log, stderr=log, user=whom, cwd="/",
        )  # fmt: skip
        try:
            deadline = time.monotonic() + START_S
            url = f"postgresql://lamproom@127.0.0.1:{port}/postgres"
            while not _answers(url):
                assert server.poll() is None, (folder / "server.log").read_text("utf-8", "replace")
                assert time.monotonic() < deadline, "PostgreSQL did not start in time"
                time.sleep(0.05)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
