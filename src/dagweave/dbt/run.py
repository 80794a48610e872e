"""Run dbt as a process: find it, start it, keep its output flowing, stop it, say why it failed.

Knows nothing of Dagster.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from dagweave._kernel.errors import InvalidInput, MissingExtra
from dagweave._kernel.redact import redact
from dagweave.dbt.trouble import Trouble, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DBT: Final = "dbt"
FUSION: Final = "dbtf"
PARTIAL_PARSE: Final = "partial_parse.msgpack"
TERMINATION_TIMEOUT_S: Final = 25.0
_LAST_WORDS_S: Final = 5.0
_LONGEST_COMMAND: Final = 2_000


def default_dbt() -> str:
    """The name of the dbt to run where nobody says: Fusion's own if it is on the path, else dbt."""
    return FUSION if shutil.which(FUSION) else DBT


def find_dbt(wanted: str | None = None) -> str:
    """The path of a dbt, given its name or path.

    A name is looked for on the PATH, then beside the running Python.

    Raises:
        MissingExtra: There is none.
        InvalidInput: What is there cannot be run.
    """
    name = wanted or default_dbt()
    beside = str(Path(sys.executable).parent)
    if found := shutil.which(name) or shutil.which(name, path=beside):
        return os.path.abspath(found)  # noqa: PTH100 -- a link into an environment stays one
    if Path(name).exists():
        raise InvalidInput(
            f"{name} is no program that can be run.",
            remedy="Set dbt_executable to the path of a dbt.",
        )
    raise MissingExtra(
        f"There is no {name!r} to run: neither on the PATH nor beside {sys.executable}.",
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
    A dbt that is forgotten, or still runs when this process ends, is interrupted.

    Raises:
        InvalidInput: It cannot be started; says why.
    """

    def __init__(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        secrets = [value for name, value in env.items() if name.startswith("DBT_ENV_SECRET")]
        self.argv = argv
        self.trouble = Trouble(secrets)
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._ended = False
        self._secrets = secrets
        self.popen = _started(argv, cwd, env)
        # The threads must not hold the process itself, or it would never be forgotten.
        reader = threading.Thread(
            target=_read,
            args=(self.popen, self.trouble, self._lines),
            name="dbt-output",
            daemon=True,
        )
        self._watcher = threading.Thread(
            target=_watch, args=(self.popen, reader, self._lines), name="dbt-end", daemon=True
        )
        reader.start()
        self._watcher.start()
        self._forgotten = weakref.finalize(self, _interrupt, self.popen)

    @property
    def command(self) -> str:
        """The command line, without secrets."""
        return shlex.join(redact(argument, self._secrets) for argument in self.argv)

    @property
    def short_command(self) -> str:
        """The command line as far as a person reads it: a selection may be of thousands of nodes."""
        return shortened(self.command, _LONGEST_COMMAND)

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
        self._watcher.join()
        self._forgotten.detach()
        return code

    def stop(self, timeout_s: float = TERMINATION_TIMEOUT_S) -> int:
        """Interrupt dbt as Ctrl-C does, so that it cancels its queries; kill it after `timeout_s`.

        Returns its exit code. Nothing of it is left running.
        """
        if self.popen.poll() is None:
            try:
                _interrupt(self.popen)
                with suppress(subprocess.TimeoutExpired):
                    self.popen.wait(timeout_s)
            finally:
                _kill(self.popen)
        return self.wait()


def _started(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A group of its own: an interrupt from the terminal reaches it once, through us.
            start_new_session=True,
            # Started in the background of a script, we ignore interrupts, and dbt would, too. The
            # function takes no lock, so that other threads cannot make it wait.
            preexec_fn=_take_interrupts if _ignores_interrupts() else None,  # noqa: PLW1509
        )
    except OSError as error:
        too_long = error.errno == errno.E2BIG
        raise InvalidInput(
            f"dbt cannot be started: {shortened(shlex.join(argv), _LONGEST_COMMAND)}",
            seen=f"{error.strerror} (folder {cwd})",
            remedy=f"{len(argv):,} arguments are more than this system takes: select fewer nodes at "
            "once, or all of a definition, which needs no list of them."
            if too_long
            else "Check dbt_executable, and that the folder is there.",
        ) from error


def _read(
    popen: subprocess.Popen[bytes], trouble: Trouble, lines: SimpleQueue[bytes | None]
) -> None:
    assert popen.stdout is not None
    with popen.stdout as output, suppress(ValueError):
        for line in output:
            trouble.note(line)
            lines.put(line)


def _watch(
    popen: subprocess.Popen[bytes], reader: threading.Thread, lines: SimpleQueue[bytes | None]
) -> None:
    """End the lines when dbt has ended, even if something that it started holds its output open."""
    popen.wait()
    reader.join(_LAST_WORDS_S)
    if reader.is_alive():
        _kill(popen)
        reader.join(_LAST_WORDS_S)
    lines.put(None)


def _interrupt(popen: subprocess.Popen[bytes]) -> None:
    if popen.poll() is None:
        _signal(popen, signal.SIGINT)


def _kill(popen: subprocess.Popen[bytes]) -> None:
    """End dbt, and what it may have started and left behind."""
    if hasattr(signal, "SIGKILL"):
        _signal(popen, signal.SIGKILL)
    if popen.poll() is None:
        popen.kill()


def _signal(popen: subprocess.Popen[bytes], number: int) -> None:
    # It may have ended just now; not every system takes every signal.
    with suppress(ProcessLookupError, PermissionError, ValueError):
        if hasattr(os, "killpg"):
            os.killpg(popen.pid, number)
        else:
            popen.send_signal(number)


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
