"""Run dbt as a process: find it, start it, keep its output flowing, stop it, say why it failed.

Knows nothing of Dagster.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from dagweave._kernel.errors import MissingExtra
from dagweave._kernel.redact import redact
from dagweave.dbt.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DBT: Final = "dbt"
FUSION: Final = "dbtf"
PARTIAL_PARSE: Final = "partial_parse.msgpack"
TERMINATION_TIMEOUT_S: Final = 25.0


def find_dbt(wanted: str = DBT) -> str:
    """The path of the dbt to run.

    For plain `dbt`, Fusion goes first if it is on the path under its own name, `dbtf`. What is
    not on the path is looked for beside the running Python.

    Raises:
        MissingExtra: There is none.
    """
    beside = str(Path(sys.executable).parent)
    for name in (FUSION, DBT) if wanted == DBT else (wanted,):
        if found := shutil.which(name) or shutil.which(name, path=beside):
            return os.path.abspath(found)  # noqa: PTH100 -- a link into an environment stays one
    raise MissingExtra(
        f"There is no {wanted!r} to run: neither on the PATH nor beside {sys.executable}.",
        remedy='Install it: pip install "dagweave[dbt]" and your adapter, such as dbt-snowflake; '
        "or set dbt_executable to its path.",
    )


def environment(
    *, project_dir: Path, target_path: Path, profiles_dir: str | Path | None
) -> dict[str, str]:
    """The variables that dbt runs with: ours, and those that make it speak JSON and only to us."""
    return {
        "DBT_USE_COLORS": "false",
        **os.environ,
        # Official packages and macros know by this that Dagster runs them.
        "DAGSTER_DBT_CLI": "true",
        "PYTHONUNBUFFERED": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_LOG_FORMAT": "json",
        "DBT_TARGET_PATH": str(target_path),
        "DBT_LOG_PATH": str(target_path),
        "DBT_PROJECT_DIR": str(project_dir),
        **({"DBT_PROFILES_DIR": str(profiles_dir)} if profiles_dir else {}),
    }


def copy_partial_parse(source: Path, target: Path) -> None:
    """Let dbt start from what it parsed before, though it writes to a folder of its own."""
    if (source / PARTIAL_PARSE).exists() and not (target / PARTIAL_PARSE).exists():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / PARTIAL_PARSE, target / PARTIAL_PARSE)


class DbtProcess:
    """A running dbt, whose output is read at once, whether or not anybody wants it yet.

    dbt stops at a full pipe. What it prints waits here instead, so that it never waits for Dagster.
    """

    def __init__(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        secrets = [value for name, value in env.items() if name.startswith("DBT_ENV_SECRET")]
        self.argv = argv
        self.trouble = Trouble(secrets)
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._ended = False
        self._secrets = secrets
        self.popen = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A group of its own: an interrupt from the terminal reaches it once, through us.
            start_new_session=True,
            # Started in the background of a script, we ignore interrupts, and dbt would, too.
            preexec_fn=_take_interrupts if _ignores_interrupts() else None,  # noqa: PLW1509
        )
        self._reader = threading.Thread(target=self._read, name="dbt-output", daemon=True)
        self._reader.start()

    @property
    def command(self) -> str:
        """The command line, without secrets."""
        return redact(shlex.join(self.argv), self._secrets)

    def masked(self, text: str) -> str:
        """A text of dbt without the secrets that we know."""
        return redact(text, self._secrets)

    def lines(self) -> Iterator[bytes]:
        """What dbt prints, line by line as it comes, each once, until dbt has ended."""
        while not self._ended:
            line = self._lines.get()
            if line is None:
                self._ended = True
                break
            yield line

    def wait(self) -> int:
        """Block until dbt has ended and all of its output is here; return its exit code."""
        code = self.popen.wait()
        self._reader.join()
        return code

    def stop(self, timeout_s: float = TERMINATION_TIMEOUT_S) -> int:
        """Interrupt dbt as Ctrl-C does, so that it cancels its queries; kill it after `timeout_s`.

        Returns its exit code. Nothing of it is left running.
        """
        if self.popen.poll() is None:
            try:
                self._signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    self.popen.wait(timeout_s)
            finally:
                self._kill()
        return self.wait()

    def _kill(self) -> None:
        """End dbt, and what it may have started and left behind."""
        if hasattr(signal, "SIGKILL"):
            self._signal(signal.SIGKILL)
        self.popen.kill()

    def _signal(self, number: int) -> None:
        # It may have ended just now; not every system takes every signal.
        with suppress(ProcessLookupError, PermissionError, ValueError):
            if hasattr(os, "killpg"):
                os.killpg(self.popen.pid, number)
            else:
                self.popen.send_signal(number)

    def _read(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as output:
            for line in output:
                self.trouble.note(line)
                self._lines.put(line)
        self._lines.put(None)


def _ignores_interrupts() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def _take_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_to_end(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
    """Run a dbt command whose output nobody needs.

    Raises:
        WorkFailed: It failed; says why in dbt's own words.
        InvalidInput: It failed, and would again: the project or the profile is not right.
    """
    process = DbtProcess(argv, cwd=cwd, env=env)
    try:
        for _ in process.lines():
            pass
        code = process.wait()
    finally:
        process.stop()
    if error := process.trouble.error(process.command, code):
        raise error
