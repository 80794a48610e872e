"""The process that warm dbt commands are forked from: dbt and what it parsed are in its memory.

A program of its own, started by its path by `dagweave.dbt.run.warm`, which shares the messages
below. It imports neither Dagweave nor Dagster, so that it starts as dbt does.

It never reads a command itself. A command comes by a connection; it is forked at once, and the
child reads what to run. So this process keeps one thread, knows no secret, and waits for nobody.
dbt runs in the child as it always does: it reads the files, compares them, the variables and the
profile with what was parsed, and parses what differs. All that is spared is importing dbt, and
decoding `partial_parse.msgpack` when it is byte for byte the file that was decoded here.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import hashlib
import importlib
import json
import mmap
import multiprocessing
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Generator

READY: Final = "ready"
IDLE_S: Final = 900.0
PATIENCE_S: Final = 25.0
"""How long a command whose client is gone may take to stop, before it is killed."""

_HEADER: Final = struct.Struct("!Q")
_LOOK_S: Final = 5.0
_SPEAK_S: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1
_TASKS: Final = ("build", "clone", "compile", "list", "retry", "run", "seed", "show", "snapshot")
_TASKS_TOO: Final = ("freshness", "run_operation", "test", "docs.generate")
_WRITES_AT_ITS_END: Final = frozenset({"build", "compile", "run", "seed", "snapshot", "test"})
_VALIDATED: Final = (
    ("dbt.contracts.project", "Project"),
    ("dbt.contracts.project", "ProjectFlags"),
    ("dbt.contracts.project", "ProfileConfig"),
    ("dbt.contracts.project", "Configuration"),
    ("dbt.contracts.selection", "SelectorFile"),
)

Stamp: TypeAlias = "list[int] | None"


def stamp(path: str | Path) -> Stamp:
    """A value that changes when a file or folder is written; none if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- thousands of them, before each command
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size, status.st_ino]


def send(connection: socket.socket, message: Any, *descriptors: int) -> None:
    """Send a message, and with it open files."""
    text = json.dumps(message).encode()
    data = _HEADER.pack(len(text)) + text
    sent = socket.send_fds(connection, [data], descriptors) if descriptors else 0
    connection.sendall(data[sent:])


def receive(connection: socket.socket) -> tuple[Any, list[int]]:
    """Wait for a message and the open files that come with it.

    Raises:
        ConnectionError: The other side is gone.
    """
    header, descriptors, _, _ = socket.recv_fds(connection, _HEADER.size, 1)
    if len(header) < _HEADER.size:
        raise ConnectionError("the other side hung up")
    (left,) = _HEADER.unpack(header)
    parts: list[bytes] = []
    while left:
        part = connection.recv(min(left, 1 << 20))
        if not part:
            raise ConnectionError("the other side hung up")
        parts.append(part)
        left -= len(part)
    return json.loads(b"".join(parts)), list(descriptors)


@dataclass
class Memory:
    """What was loaded, and from which files."""

    parsed: str
    parsed_stamp: Stamp = None
    digest: bytes = b""
    manifest: Any = None
    imported: dict[str, Stamp] = field(default_factory=dict[str, Stamp])
    locks: list[Any] = field(default_factory=list[Any])
    """Those that processes share."""

    def load(self) -> None:
        """Import dbt, decode what it parsed, import the adapter."""
        importlib.import_module("dbt.cli.main")
        for task in (*_TASKS, *_TASKS_TOO):
            with suppress(ImportError):
                importlib.import_module(f"dbt.task.{task}")
        with suppress(OSError):
            self._decode()
        self._rehearse()
        # What is not imported yet is looked for in these folders.
        folders = [folder for folder in sys.path if Path(folder).is_dir()]
        files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        self.imported = {path: stamp(path) for path in (*folders, *filter(None, files))}
        gc.collect()
        shared = importlib.import_module("multiprocessing.synchronize").SemLock
        self.locks = [each for each in gc.get_objects() if isinstance(each, shared)]
        # A child shares these pages as long as nobody writes to them.
        gc.freeze()

    def _decode(self) -> None:
        self.parsed_stamp = stamp(self.parsed)
        data = Path(self.parsed).read_bytes()
        self.digest = digest_of(data)
        # Where dbt names these otherwise, it decodes the file itself, as it always does.
        with suppress(Exception):
            parser = importlib.import_module("dbt.parser.manifest")
            decoder = parser.extended_mashumuro_decoder
            self.manifest = parser.Manifest.from_msgpack(data, decoder=decoder)
            adapter = f"dbt.adapters.{self.manifest.metadata.adapter_type}"
            if stays_alone(adapter):
                importlib.import_module(adapter).Plugin.credentials.validate({})

    def _rehearse(self) -> None:
        """Have dbt make what it makes at first use and keeps: schemas, and code that reads them."""
        for module, name in _VALIDATED:
            with suppress(Exception):
                getattr(importlib.import_module(module), name).validate({})
        sections: list[Any] = list(vars(self.manifest or self).values())
        nodes = (node for each in sections if hasattr(each, "values") for node in each.values())
        kinds = {node.__class__.__name__: node for node in nodes}
        for node in kinds.values():
            with suppress(Exception):
                node.to_resource().to_dict(omit_none=False, context={"artifact": True})

    def renew_locks(self) -> None:
        """Do not share with other commands what one that is killed would hold for ever."""
        for lock in self.locks:
            lock.__dict__.update(type(lock)(ctx=multiprocessing.get_context("spawn")).__dict__)

    def outdated(self, parsed_stamp: Stamp) -> str | None:
        """Why this is not what dbt would load now, if it is not."""
        if parsed_stamp != self.parsed_stamp:
            return "the project was parsed anew"
        if any(stamp(path) != then for path, then in self.imported.items()):
            return "dbt or a package was installed anew"
        return None

    def hand_over(self) -> None:
        """Let dbt find in memory what it would decode. Once: it changes what it is given."""
        if self.manifest is None:
            return
        manifest_class: Any = self.manifest.__class__
        decode: Any = manifest_class.from_msgpack

        def from_msgpack(data: bytes, *args: Any, **options: Any) -> Any:
            manifest, self.manifest = self.manifest, None
            if manifest is None or digest_of(data) != self.digest:
                return decode(data, *args, **options)
            return manifest

        manifest_class.from_msgpack = staticmethod(from_msgpack)


def digest_of(data: bytes) -> bytes:
    """A value that only equal data have."""
    return hashlib.blake2b(data).digest()


def threads() -> int:
    """How many threads this process has, those of C libraries included."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


def stays_alone(module: str) -> bool:
    """Whether a module can be imported without a thread being started: tried in a fork.

    Libraries of linear algebra start some. A fork does not have them, and may wait for them.
    """
    pid = os.fork()
    if pid == 0:
        alone = False
        try:
            importlib.import_module(module)
            alone = threads() == 1
        finally:
            os._exit(0 if alone else 1)
    return os.waitpid(pid, 0)[1] == 0


@dataclass
class Child:
    """A command that was forked, and the client that waits for it."""

    pid: int
    ended: int
    """A descriptor that is readable once it has ended."""
    client: socket.socket
    code: int | None = None
    abandoned: bool = False
    kill_at: float | None = None

    def note_end(self) -> None:
        """Tell the client how it ended. Its number stays taken until the client has heard."""
        status = os.waitid(os.P_PIDFD, self.ended, os.WEXITED | os.WNOWAIT)
        assert status is not None
        exited = status.si_code == os.CLD_EXITED
        self.code = status.si_status if exited else -status.si_status
        with suppress(OSError):
            send(self.client, {"code": self.code})

    def abandon(self) -> None:
        """The client is gone: nobody wants what it does."""
        self.abandoned = True
        if self.code is None:
            self.kill_at = time.monotonic() + PATIENCE_S
            self.signal(signal.SIGINT)

    def signal(self, number: int) -> None:
        """Send a signal to the command and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def bury(self) -> None:
        """Let go of its number."""
        os.waitpid(self.pid, 0)
        os.close(self.ended)
        self.client.close()


class Parent:
    """Accepts commands until nobody comes any more, or what it has loaded is outdated."""

    def __init__(self, listener: socket.socket, path: str, memory: Memory, idle_s: float) -> None:
        self._listener = listener
        self._path = path
        self._place = stamp(path)
        self._memory = memory
        self._idle_s = idle_s
        self._children: list[Child] = []
        self._poll = select.poll()
        # Written by a child that finds the memory outdated.
        self._outdated = mmap.mmap(-1, 1)

    def serve(self) -> None:
        """Return when it is time to leave."""
        self._poll.register(self._listener, select.POLLIN)
        last_seen, open_ = time.monotonic(), True
        while open_ or self._children:
            ready = dict(self._poll.poll(_LOOK_S * 1000))
            if self._listener.fileno() in ready:
                self._accept()
            for child in list(self._children):
                self._attend(child, ready)
            now = time.monotonic()
            last_seen = now if self._children else last_seen
            if open_ and not self._wanted(now - last_seen):
                open_ = False
                self._close()

    def _wanted(self, idle_s: float) -> bool:
        here = stamp(self._path)
        return (
            here is not None
            and self._place is not None
            and here[2] == self._place[2]
            and self._outdated[0] == 0
            and idle_s < self._idle_s
        )

    def _close(self) -> None:
        here = stamp(self._path)
        if here and self._place and here[2] == self._place[2]:
            Path(self._path).unlink(missing_ok=True)
        self._poll.unregister(self._listener)
        self._listener.close()

    def _attend(self, child: Child, ready: dict[int, int]) -> None:
        if child.ended in ready:
            child.note_end()
            self._poll.unregister(child.ended)
        if not child.abandoned and child.client.fileno() in ready:
            self._poll.unregister(child.client)
            child.abandon()
        if child.kill_at and time.monotonic() > child.kill_at:
            child.signal(signal.SIGKILL)
        if child.code is not None and child.abandoned:
            if child.kill_at:
                child.signal(signal.SIGKILL)
            child.bury()
            self._children.remove(child)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if user_of(client) != os.geteuid() or threads() != 1:
            client.close()
            return
        pid = os.fork()
        if pid == 0:
            self._become_child(client)
        child = Child(pid, os.pidfd_open(pid), client)
        self._children.append(child)
        self._poll.register(child.ended, select.POLLIN)
        # Only that the other side has gone, which cannot be left out.
        self._poll.register(client, 0)

    def _become_child(self, client: socket.socket) -> NoReturn:
        try:
            self._listener.close()
            for other in self._children:
                other.client.close()
                os.close(other.ended)
            request = self._agree(client)
        except BaseException:  # noqa: BLE001 -- the client sees that we hung up, and does without
            os._exit(1)
        code = 1
        try:
            code = run_dbt(request["argv"], self._memory, one_manifest=request["one_manifest"])
        finally:
            os._exit(code)

    def _agree(self, client: socket.socket) -> dict[str, Any]:
        """Hear what to run, be ready for it, and wait for the word."""
        os.setsid()
        client.settimeout(_SPEAK_S)
        request, (output,) = receive(client)
        if why := self._memory.outdated(request["parsed"]):
            self._outdated[0] = 1
            send(client, {"outdated": why})
            os._exit(0)
        take_on(request, output)
        send(client, {"pid": os.getpid()})
        receive(client)
        client.close()
        return request


def user_of(connection: socket.socket) -> int:
    """Who is on the other side, as the kernel says."""
    return peer_of(connection)[1]


def peer_of(connection: socket.socket) -> tuple[int, int, int]:
    """The process, user and group on the other side, as the kernel says."""
    credentials = struct.Struct("3i")
    size = credentials.size
    given = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, user, group = credentials.unpack(given)
    return pid, user, group


def take_on(request: dict[str, Any], output: int) -> None:
    """Become what a process started by the client would be."""
    _end_with_parent()
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _end_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent:
        os._exit(1)


def encode_at_once() -> None:
    """Let `json.dump` make the same text at once: several times faster than bit by bit."""

    def dump(value: Any, file: Any, **options: Any) -> None:
        file.write(json.dumps(value, **options))

    json.dump = dump


@contextmanager
def written_once() -> Generator[None]:
    """Within the block, dbt writes manifest.json when it ends, and not when it begins as well.

    Of a large project that is half of what a short command costs.
    """
    parser: Any = importlib.import_module("dbt.parser.manifest")
    task: Any = importlib.import_module("dbt.task.runnable")
    flags: Any = importlib.import_module("dbt.flags")
    write: Any = parser.write_manifest
    owed: list[tuple[Any, ...]] = []

    def write_first(*what: Any, **options: Any) -> None:
        if flags.get_flags().WHICH in _WRITES_AT_ITS_END and not options:
            owed.append(what)
        else:
            write(*what, **options)

    def write_last(*what: Any, **options: Any) -> None:
        owed.clear()
        write(*what, **options)

    parser.write_manifest, task.write_manifest = write_first, write_last
    try:
        yield
    finally:
        # It has failed before the end.
        for what in owed:
            write(*what)


def run_dbt(argv: list[str], memory: Memory, *, one_manifest: bool) -> int:
    """Run dbt as its own program does, and end as a Python program does."""
    gc.enable()
    # dbt makes objects by the million and drops few: looking for cycles so seldom saves a third.
    gc.set_threshold(100_000, 20, 100)
    sys.argv = argv
    memory.renew_locks()
    memory.hand_over()
    encode_at_once()
    code: Any = 1
    try:
        with written_once() if one_manifest else nullcontext():
            code = importlib.import_module("dbt.cli.main").cli()
    except SystemExit as ending:
        code = ending.code
    except BaseException:  # noqa: BLE001 -- as Python itself would
        traceback.print_exc()
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)  # noqa: T201
        code = 1
    # All that Python does at its end, but for taking apart what the parent had loaded.
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    return (code or 0) & 0xFF


def listen(path: str) -> socket.socket:
    """A socket at `path`, for this user alone, in the place of what was there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    own = f"{path}.{os.getpid()}"
    before = os.umask(0o177)
    try:
        with short_address(own) as address:
            listener.bind(address)
    finally:
        os.umask(before)
    listener.listen(64)
    Path(own).replace(path)
    return listener


@contextmanager
def short_address(path: str) -> Generator[str]:
    """A name of a socket's path that is short enough for the kernel, which takes 107 bytes."""
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def detach() -> None:
    """Belong to nobody: neither a terminal nor the process that started us."""
    if os.fork():
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def main() -> None:
    """Load dbt, say that we are ready, and serve."""
    settings = json.loads(sys.argv[1])
    detach()
    with open(settings["report"], "w", buffering=1) as report:  # noqa: PTH123 -- a descriptor
        print(os.getpid(), file=report)
        gc.disable()
        sys.path.insert(0, os.path.dirname(settings["dbt"]))  # noqa: PTH120 -- as for dbt itself
        memory = Memory(settings["parsed"])
        try:
            memory.load()
            if threads() != 1:
                raise RuntimeError("dbt starts a thread when it is imported")  # noqa: TRY301
            os.chdir("/")
            listener = listen(settings["socket"])
        except BaseException as error:  # noqa: BLE001 -- whatever it is, the client does without
            print(f"{type(error).__name__}: {error}".splitlines()[0], file=report)
            os._exit(1)
        print(READY, file=report)
    Parent(listener, settings["socket"], memory, settings["idle_s"]).serve()


if __name__ == "__main__":
    try:
        main()
    finally:
        # Nothing to take apart: the system is faster at that.
        os._exit(0)
