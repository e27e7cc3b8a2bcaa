"""The types that stand in the comments of the scripts hold."""

import shutil
import subprocess

import pytest

from tests.web.checkers import install


@pytest.mark.peer
@pytest.mark.timeout(120)
def test_scripts_keep_the_types_in_their_comments() -> None:
    node = shutil.which("node")
    if node is None or not install.is_ready(install.HERE):
        pytest.skip("TypeScript is not installed: python -m tests.web.checkers.install, and Node on PATH")
    command = [node, str(install.TSC), "-p", str(install.HERE / "jsconfig.json"), "--pretty", "false"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.stdout.splitlines() == []
    assert done.returncode == 0
