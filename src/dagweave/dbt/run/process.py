"""A running dbt: its output kept flowing, its end noticed, nothing of it left behind."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import threading
import weakref
from contextlib import suppress
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from dagweave._kernel.errors import InvalidInput
from dagweave._kernel.redact import redact
from dagweave.dbt.trouble import Trouble, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

TERMINATION_TIMEOUT_S: Final = 25.0
_LAST_WORDS_S: Final = 5.0
_LONGEST_COMMAND: Final = 2_000


class Running(Protocol):
    """A process that was started; of `subprocess.Popen`, what is needed of it.

    It leads a process group of its own.
    """

    stdout: IO[bytes] | None
    """What it prints, and what it complains of."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    @property
    def returncode(self) -> int | None:
        """What it ended with, if anybody has looked since: a signal is a negative number."""
        ...

    def poll(self) -> int | None:
        """What it ended with; none if it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Block until it has ended; return what with.

        Raises:
            subprocess.TimeoutExpired: `timeout` seconds passed first.
        """
        ...

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


class Runner(Protocol):
    """Starts dbt."""

    def start(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Running:
        """Start a command.

        Raises:
            InvalidInput: It cannot be started; says why.
        """
        ...


class SubprocessRunner:
    """Starts each dbt command as a process of its own."""

    def start(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Running:
        """Start dbt's program.

        Raises:
            InvalidInput: It cannot be started; says why.
        """
        try:
            return _Guarded(
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
                preexec_fn=_take_interrupts if _ignores_interrupts() else None,
            )
        except OSError as error:
            too_long = error.errno == errno.E2BIG
            raise InvalidInput(
                # Not the arguments: variables among them may be secret.
                f"dbt cannot be started: {argv[0]}",
                seen=f"{error.strerror} (folder {cwd})",
                remedy=f"{len(argv):,} arguments are more than this system takes: select fewer nodes at "
                "once, or all of a definition, which needs no list of them."
                if too_long
                else "Check dbt_executable, and that the folder is there.",
            ) from error


# Hears of our end by its input, which then ends without the word that dbt has ended.
_GUARD: Final = """
read -r word && exit
kill -INT "-$1" || exit
for second in $(seq "$2"); do sleep 1; kill -0 "-$1" || exit; done
kill -KILL "-$1"
"""
_SHELL: Final = "/bin/sh"


class _Guarded(subprocess.Popen[bytes]):
    """A process that ends with ours, even if we are killed.

    Without it, dbt would go on writing to the warehouse while a retry of the run does the same. A
    shell of a few lines stands by, since the kernel can only tell a child of the end of the thread
    that started it.
    """

    def __init__(self, argv: Sequence[str], **options: Any) -> None:
        self._guards: list[subprocess.Popen[bytes]] = []
        super().__init__(argv, **options)
        # Where there is no shell, there is no guard.
        with suppress(OSError):
            guard = subprocess.Popen(
                [_SHELL, "-c", _GUARD, "dbt-guard", str(self.pid), f"{TERMINATION_TIMEOUT_S:.0f}"],
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._guards.append(guard)

    def poll(self) -> int | None:
        code = super().poll()
        if code is not None:
            self._dismiss()
        return code

    def wait(self, timeout: float | None = None) -> int:
        code = super().wait(timeout)
        self._dismiss()
        return code

    def _dismiss(self) -> None:
        # Several threads may come here; one of them finds it.
        with suppress(IndexError):
            guard = self._guards.pop()
            with suppress(OSError):
                guard.communicate(b"ended\n")


class DbtProcess:
    """A running dbt, whose output is read at once, whether or not anybody wants it yet.

    dbt stops at a full pipe. What it prints waits here instead, so that it never waits for Dagster.
    A dbt that is forgotten, or still runs when this process ends or is killed, is interrupted, and
    killed if it does not stop. Without a `runner`
    it is a process of its own.

    Raises:
        InvalidInput: It cannot be started; says why.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        runner: Runner | None = None,
    ) -> None:
        secrets = [value for name, value in env.items() if name.startswith("DBT_ENV_SECRET")]
        self.argv = argv
        self.trouble = Trouble(secrets)
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._ended = False
        self._secrets = secrets
        self.popen: Running = (runner or SubprocessRunner()).start(argv, cwd=cwd, env=env)
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


def _read(popen: Running, trouble: Trouble, lines: SimpleQueue[bytes | None]) -> None:
    assert popen.stdout is not None
    with popen.stdout as output, suppress(ValueError):
        for line in output:
            trouble.note(line)
            lines.put(line)


def _watch(popen: Running, reader: threading.Thread, lines: SimpleQueue[bytes | None]) -> None:
    """End the lines when dbt has ended, even if something that it started holds its output open."""
    popen.wait()
    reader.join(_LAST_WORDS_S)
    if reader.is_alive():
        _kill(popen)
        reader.join(_LAST_WORDS_S)
    lines.put(None)


def _interrupt(popen: Running) -> None:
    if popen.poll() is None:
        _signal(popen, signal.SIGINT)


def _kill(popen: Running) -> None:
    """End dbt, and what it may have started and left behind."""
    if hasattr(signal, "SIGKILL"):
        _signal(popen, signal.SIGKILL)
    if popen.poll() is None:
        popen.kill()


def _signal(popen: Running, number: int) -> None:
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
