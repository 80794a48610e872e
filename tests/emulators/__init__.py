"""Start the servers that stand for warehouses that cannot run on a laptop, each as a process.

An emulator is a folder here with two files: `requirements.txt`, which `make` installs into an
environment of its own (`.venvs/emulator-<name>`), and `serve.py`, which starts it. That prints one
line of JSON when it is ready, with what a client needs to reach it, and ends with its input.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
READY_S = 120.0
END_S = 20.0


@contextmanager
def running(name: str, *args: str) -> Generator[dict[str, Any]]:
    """The emulator of this name, in a folder of its own, until the context ends.

    What it says on its error stream is in the error if it does not come up.
    """
    python = ROOT / ".venvs" / f"emulator-{name}" / "bin" / "python"
    if not python.exists():
        raise RuntimeError(
            f"The emulator of {name} is not installed: make .venvs/emulator-{name}/ready"
        )
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [python, HERE / name / "serve.py", *args],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            yield _told(process, name, log)
        finally:
            _end(process)


def _told(process: subprocess.Popen[bytes], name: str, log: Any) -> dict[str, Any]:
    """What it says of itself, once it is ready."""
    slow = threading.Timer(READY_S, process.kill)
    slow.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"{"):
                return json.loads(line)
    finally:
        slow.cancel()
    log.seek(0)
    raise RuntimeError(f"The emulator of {name} did not start.\n{log.read().decode()[-4000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
