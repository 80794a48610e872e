"""Start dbt from a process that has it in memory, and if that does not work out, as usual.

The process (`parent`) belongs to one user and one project as it was parsed. The first command
starts it; the others find it by its socket. It leaves when nobody came for a quarter of an hour,
when dbt, a package or what was parsed has changed, or when its socket is gone. Linux only.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from dagweave.dbt.run import parent
from dagweave.dbt.run.process import Running, SubprocessRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_START_S: Final = 120.0
_ANSWER_S: Final = 10.0
_FORGIVE_S: Final = 600.0
_PROGRAM: Final = b"dbt.cli.main"
# What Python and C libraries read when they start. All else a command brings along by itself.
_STARTUP: Final = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "SSL_", "OPENSSL_", "GRPC_", "OMP_")
_STARTUP_TOO: Final = frozenset(
    {"DBT_PACKAGE_HUB_URL", "HOME", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV"}
)


class Cold(Exception):
    """A command cannot be started from memory; says why, in a line."""


class _Outdated(Exception):
    """The process that we found has something else in memory than dbt would load now."""


@dataclass(frozen=True)
class WarmRunner:
    """Starts dbt commands from memory; those that it cannot, as processes of their own.

    Args:
        parsed: The `partial_parse.msgpack` that dbt's own copies of it are made from.
        warn: Told in one line why a command is started as usual.
        one_manifest: Whether nobody needs manifest.json before a command ends.
        idle_s: How long the process waits for the next command, in seconds.
    """

    parsed: Path
    warn: Callable[[str], None]
    one_manifest: bool = False
    idle_s: float = parent.IDLE_S

    def start(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Running:
        """Start a command.

        Raises:
            InvalidInput: It cannot be started in any way; says why.
        """
        try:
            return self._start(argv, cwd, env)
        except Exception as error:  # noqa: BLE001 -- whatever it is, dbt can be started as usual
            said = str(error) if isinstance(error, Cold) else f"{type(error).__name__}: {error}"
            why = " ".join(said.split())
            self.warn(f"dbt is started as a process of its own, not by the warm runner: {why}")
        return SubprocessRunner().start(argv, cwd=cwd, env=env)

    def _start(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Running:
        meeting = _Meeting.of(argv[0], _python_of(argv[0]), self.parsed, env)
        request = {
            "argv": list(argv),
            "cwd": str(cwd),
            "env": dict(env),
            "umask": _umask(),
            "parsed": parent.stamp(self.parsed),
            "one_manifest": self.one_manifest,
        }
        connection = meeting.connected() or meeting.opened(self.idle_s)
        found = parent.peer_of(connection)[0]
        with suppress(_Outdated):
            return _asked(connection, request)
        try:
            return _asked(meeting.opened(self.idle_s, instead_of=found), request)
        except _Outdated as error:
            raise Cold(f"it is outdated as soon as it is started: {error}") from error


class WarmProcess:
    """A dbt command that runs in a fork of the parent; to be used as a `subprocess.Popen`."""

    def __init__(self, pid: int, connection: socket.socket, output: IO[bytes]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: IO[bytes] | None = output
        self._connection = connection
        # Its number is not given away before we have said that we know of its end.
        self._process = os.pidfd_open(pid)
        self._awaited = connection.fileno()
        self._lock = threading.Lock()
        weakref.finalize(self, _close, connection, self._process)

    def poll(self) -> int | None:
        """What it ended with; none if it runs."""
        self._look(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Block until it has ended; return what with.

        Raises:
            subprocess.TimeoutExpired: `timeout` seconds passed first.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left_s = None if deadline is None else deadline - time.monotonic()
            if left_s is not None and left_s <= 0:
                raise subprocess.TimeoutExpired("dbt", timeout or 0)
            self._look(left_s)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.Signals(sig))

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout_s: float | None) -> None:
        if self.returncode is not None or not _readable(self._awaited, timeout_s):
            return
        with self._lock:
            if self.returncode is not None or not _readable(self._awaited, 0):
                return
            if self._awaited == self._process:
                # Nobody is left to say how it ended: it was interrupted when its parent was killed.
                self.returncode = -signal.SIGKILL
                return
            try:
                message, _ = parent.receive(self._connection)
                self.returncode = int(message["code"])
            except (OSError, ValueError):
                self._awaited = self._process
            # Wakes whoever else waits here, and lets the parent let go of the number.
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class _Meeting:
    """Where a parent and those who need it find each other."""

    folder: Path
    key: str
    dbt: str
    python: str
    parsed: Path
    env: Mapping[str, str]

    @classmethod
    def of(cls, dbt: str, python: str, parsed: Path, env: Mapping[str, str]) -> _Meeting:
        """The place for a project as it was parsed, and an interpreter as it would start.

        Raises:
            Cold: There is no folder that is ours alone.
        """
        startup = {
            name: value
            for name, value in env.items()
            if name.startswith(_STARTUP) or name in _STARTUP_TOO or name.endswith("_NUM_THREADS")
        }
        # Containers and machines may share the folder, but not their processes and files.
        spaces = [str(Path("/proc/self/ns", each).readlink()) for each in ("pid", "mnt", "user")]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        own = parent.stamp(parent.__file__)
        what = [boot, python, dbt, str(parsed), sorted(startup.items()), spaces, own]
        key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:24]
        return cls(_folder(env), key, dbt, python, parsed, startup)

    @property
    def socket(self) -> Path:
        return self.folder / f"{self.key}.sock"

    def connected(self) -> socket.socket | None:
        """A connection to the parent, if one is there.

        Raises:
            Cold: What is there is not ours, or open to others.
        """
        with suppress(FileNotFoundError, ConnectionRefusedError):
            _check_private(self.socket, stat.S_ISSOCK)
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(_ANSWER_S)
            try:
                with parent.short_address(str(self.socket)) as address:
                    connection.connect(address)
                _check_ours(connection)
            except BaseException:
                connection.close()
                raise
            return connection
        return None

    def opened(self, idle_s: float, *, instead_of: int | None = None) -> socket.socket:
        """A connection to a parent that is started, unless somebody else has just done so.

        Args:
            instead_of: The number of a parent that will not do.

        Raises:
            Cold: It cannot be started, or could not some minutes ago; says why.
        """
        # A dependency of Dagster's own.
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.folder / f"{self.key}.lock", timeout=_START_S):
                connection = self.connected()
                if connection is None or parent.peer_of(connection)[0] == instead_of:
                    if connection:
                        connection.close()
                    self._start(idle_s)
                    connection = self.connected()
        except Timeout as error:
            raise Cold(f"another process has been starting it for {_START_S:g} s") from error
        if connection is None:
            raise Cold("it left as soon as it was started")
        return connection

    def _start(self, idle_s: float) -> None:
        failure = self.folder / f"{self.key}.failed"
        with suppress(FileNotFoundError):
            if abs(time.time() - failure.stat().st_mtime) < _FORGIVE_S:
                raise Cold(f"it could not be started some minutes ago: {failure.read_text()}")
        try:
            self._launch(idle_s)
        except (Cold, OSError) as error:
            failure.write_text(str(error))
            raise
        failure.unlink(missing_ok=True)

    def _launch(self, idle_s: float) -> None:
        ours, theirs = os.pipe()
        settings = {
            "socket": str(self.socket),
            "parsed": str(self.parsed),
            "dbt": self.dbt,
            "idle_s": idle_s,
            "report": theirs,
        }
        with open(ours, "rb", buffering=0) as report:  # noqa: PTH123 -- a descriptor
            try:
                # It forks at once, so that it is nobody's child.
                subprocess.run(
                    [self.python, "-P", parent.__file__, json.dumps(settings)],
                    env=self.env,
                    pass_fds=[theirs],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    check=False,
                )
            finally:
                os.close(theirs)
            number, *said = _report(report.fileno())
        if said != [parent.READY]:
            if number.isdigit():
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)
            raise Cold(f"it could not be started: {' '.join(said) or 'it said nothing'}")


def _report(descriptor: int) -> list[str]:
    """What the parent says until it hangs up, and at most for two minutes."""
    said = b""
    while _readable(descriptor, _START_S):
        part = os.read(descriptor, 4096)
        if not part:
            break
        said += part
    return said.decode(errors="replace").splitlines() or [""]


def _asked(connection: socket.socket, request: dict[str, Any]) -> WarmProcess:
    """Have a command run, once it is sure that it can.

    Raises:
        _Outdated: The parent has something else in memory.
        Cold: The command could not begin.
        OSError: The parent is gone, or does not answer. The command has not begun.
    """
    ours, theirs = os.pipe()
    output = open(ours, "rb")  # noqa: PTH123, SIM115 -- a descriptor, which the process owns
    try:
        try:
            parent.send(connection, request, theirs)
        finally:
            os.close(theirs)
        process = WarmProcess(_number(connection), connection, output)
        parent.send(connection, "go")
        connection.settimeout(None)
    except BaseException:
        output.close()
        connection.close()
        raise
    return process


def _number(connection: socket.socket) -> int:
    answer, _ = parent.receive(connection)
    if why := answer.get("outdated"):
        raise _Outdated(why)
    if "pid" not in answer:
        raise Cold("it could not begin the command")
    return answer["pid"]


def _python_of(dbt: str) -> str:
    """The Python that a dbt runs in. Raises `Cold` where this cannot work: the system, the dbt."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        raise Cold("it needs Linux")
    program = Path(dbt).resolve()
    with program.open("rb") as file:
        head = file.read(4096)
    if not head.startswith(b"#!") or _PROGRAM not in head:
        raise Cold(f"{dbt} is not the program of dbt-core")
    if program.parent.samefile(Path(sys.executable).parent):
        return sys.executable
    python = os.fsdecode(head[2:].splitlines()[0].strip())
    if not Path(python).is_absolute() or not os.access(python, os.X_OK):
        raise Cold(f"{dbt} does not say which Python it runs in")
    return python


def _folder(env: Mapping[str, str]) -> Path:
    """The folder of the sockets, which is this user's alone."""
    if runtime := env.get("XDG_RUNTIME_DIR"):
        folder = Path(runtime, "dagweave")
    else:
        folder = Path(env.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "dagweave")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(folder, stat.S_ISDIR)
    return folder


def _check_private(path: Path, kind: Callable[[int], bool]) -> None:
    status = path.lstat()
    if not kind(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise Cold(f"{path} is not of this user alone")


def _check_ours(connection: socket.socket) -> None:
    if parent.user_of(connection) != os.geteuid():
        raise Cold("another user is on the other side of its socket")


def _umask() -> int:
    # Asking the system for it would change it, for all threads.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


def _readable(descriptor: int, timeout_s: float | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


def _close(connection: socket.socket, descriptor: int) -> None:
    connection.close()
    os.close(descriptor)
