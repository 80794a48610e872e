"""A dbt command that was started: what it logs, what that is to Dagster, how it ends."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import msgspec

from dagweave._dagster.failures import as_failure, failures
from dagweave._kernel.errors import DagweaveError, InvalidInput, WorkFailed
from dagweave.dbt.errors import DagsterDbtCliRuntimeError
from dagweave.dbt.events import DbtCliEventMessage, Results
from dagweave.dbt.first_partition import Turn
from dagweave.dbt.iterator import DbtEventIterator
from dagweave.dbt.manifest import Manifest
from dagweave.dbt.origin import Origin
from dagweave.dbt.run import TERMINATION_TIMEOUT_S
from dagweave.dbt.trouble import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence, Set
    from pathlib import Path

    from dagster import AssetExecutionContext, OpExecutionContext

    from dagweave.dbt.events import DbtDagsterEvent
    from dagweave.dbt.run import DbtProcess, Running
    from dagweave.dbt.scope import Scope
    from dagweave.dbt.translator import DagsterDbtTranslator

_MOST_NAMED = 20

_Line: TypeAlias = DbtCliEventMessage | str


@dataclass(eq=False)
class DbtCliInvocation:
    """A dbt command that was started by `DbtCliResource.cli()`.

    Its output is read as it comes, whether or not anybody asks for it, and handed out once.
    `termination_timeout_seconds` is how long dbt may take to stop when the step is interrupted.
    """

    dbt_process: DbtProcess = field(repr=False)
    dagster_dbt_translator: DagsterDbtTranslator = field(repr=False)
    project_dir: Path
    target_path: Path
    raise_on_error: bool
    context: OpExecutionContext | AssetExecutionContext | None = field(default=None, repr=False)
    scope: Scope | None = field(default=None, repr=False)
    owed: Set[str] = field(default_factory=frozenset[str], repr=False)
    """The nodes that must have a result, or the command has failed."""
    manifest_given: Manifest | None = field(default=None, repr=False)
    turn: Turn = field(default_factory=Turn, repr=False)
    """To make tables for the first time; let go of when the command has ended."""
    start_again: Callable[[Sequence[str]], DbtProcess] = field(kw_only=True, repr=False)
    """Starts another dbt command with the same project, profile, target and variables."""
    termination_timeout_seconds: float = field(init=False, default=TERMINATION_TIMEOUT_S)
    _results: Results = field(init=False, default_factory=Results, repr=False)
    _unread: deque[_Line] = field(init=False, default_factory=deque["_Line"], repr=False)
    """What dbt said by its end, while somebody only asked how it went."""
    _written: Manifest | None = field(init=False, default=None, repr=False)

    @property
    def process(self) -> Running:
        """The process of dbt: a `subprocess.Popen`, or what can be used as one."""
        return self.dbt_process.popen

    @property
    def dbt_command(self) -> str:
        """The command line, without secrets."""
        return self.dbt_process.command

    @property
    def known_manifest(self) -> Manifest | None:
        """The manifest that results belong to: the one given, else what dbt parsed the last time."""
        if self.manifest_given is not None:
            return self.manifest_given
        written = self.target_path / "manifest.json"
        if self._written is None and written.exists():
            self._written = Manifest.read(written)
        return self._written

    @property
    def origin(self) -> Origin | None:
        """What results belong to, if a manifest is known."""
        if self.scope:
            return self.scope.origin
        manifest = self.known_manifest
        return Origin(manifest, self.dagster_dbt_translator, None) if manifest else None

    def relation(self, unique_id: str) -> str | None:
        """The table of a node, as dbt named it with its result: in the target that it ran for."""
        if told := self._results.relations.get(unique_id):
            return told
        manifest = self.known_manifest
        return manifest.node(unique_id).relation_name if manifest else None

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The manifest that results belong to; empty if none is known."""
        return self.known_manifest or {}

    def wait(self) -> DbtCliInvocation:
        """Block until dbt has ended.

        Raises:
            DagsterDbtCliRuntimeError: It failed, and `raise_on_error` was not turned off.
        """
        for _ in self.stream_raw_events():
            pass
        return self

    def is_successful(self) -> bool:
        """Block until dbt has ended, and say whether it went well. Its events can still be read.

        An error in its log is a failure, whatever its exit code; so is a selected node that it has
        no result for.
        """
        return self._error() is None

    def get_error(self) -> Exception | None:
        """Block until dbt has ended, and return what it failed with, in its own words; if it did."""
        error = self._error()
        return as_failure(error, DagsterDbtCliRuntimeError) if error else None

    def stream(self) -> DbtEventIterator[DbtDagsterEvent]:
        """What the results of dbt are to Dagster, as they come.

        In a step of `@dbt_assets`: an `Output` for what was built, an `AssetCheckResult` for a
        test that is a check, an `AssetObservation` for one that is not. In another step,
        `AssetMaterialization` and `AssetCheckEvaluation` instead of the first two.

        Raises:
            DagsterDbtCliRuntimeError: dbt failed; or it went well, but left out what was selected.
        """
        return DbtEventIterator(self._asset_events(), self)

    def stream_raw_events(self) -> Iterator[DbtCliEventMessage]:
        """What dbt logs, as it comes. Also printed, for the step's log.

        Raises:
            DagsterDbtCliRuntimeError: As `stream()`.
        """
        with self._stopped_with_us():
            for line in self._lines():
                if isinstance(line, str):
                    self._print(line)
                else:
                    self._print(str(line))
                    yield line
            self.turn.let_go()
            if self.raise_on_error and (error := self._error()):
                raise as_failure(error, DagsterDbtCliRuntimeError) from error

    def get_artifact(
        self, artifact: Literal["manifest.json", "catalog.json", "run_results.json", "sources.json"]
    ) -> dict[str, Any]:
        """An artifact that the command wrote.

        Raises:
            Failure: It wrote none of this name.
        """
        file = self.target_path / artifact
        with failures(DagsterDbtCliRuntimeError):
            if not file.exists():
                raise InvalidInput(
                    f"The dbt command wrote no {artifact}.",
                    seen=f"Command: {self.dbt_command}\nThere is no {file}.",
                    remedy="Read it once the command has ended: after stream() or wait().",
                )
            return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])

    def _asset_events(self) -> Iterator[DbtDagsterEvent]:
        with failures(DagsterDbtCliRuntimeError):
            for event in self.stream_raw_events():
                yield from event.to_default_asset_events()

    def _lines(self) -> Iterator[_Line]:
        """What dbt says, each once: an event, or else a line of text."""
        while self._unread:
            yield self._unread.popleft()
        for line in self.dbt_process.lines():
            yield self._read(line)

    def _read(self, line: bytes) -> _Line:
        raw_event = _decoded(line)
        if raw_event is None:
            return line.decode(errors="replace").rstrip("\n")
        is_result = self._results.takes(raw_event)
        return DbtCliEventMessage(raw_event, is_result_event=is_result, invocation=self)

    def _print(self, text: str) -> None:
        sys.stdout.write(self.dbt_process.masked(text) + "\n")
        sys.stdout.flush()

    @contextmanager
    def _stopped_with_us(self) -> Generator[None]:
        """Leave no dbt behind: whatever ends the block early ends dbt, too."""
        try:
            yield
        except BaseException:
            if self.process.poll() is None:
                self._print("Interrupted: waiting for dbt to cancel its queries.")
                self.dbt_process.stop(self.termination_timeout_seconds)
            self.turn.let_go()
            raise

    def _error(self) -> DagweaveError | None:
        """What the command failed with, once it has ended."""
        with self._stopped_with_us():
            self._unread.extend(self._read(line) for line in self.dbt_process.lines())
            code = self.dbt_process.wait()
        self.turn.let_go()
        trouble, log = self.dbt_process.trouble, self.target_path / "dbt.log"
        return trouble.error(self.dbt_command, code, log) or self._incomplete()

    def _incomplete(self) -> DagweaveError | None:
        """Nothing that was selected is left out silently."""
        missing = sorted(self.owed - self._results.ended)
        if not missing:
            return None
        more = len(missing) - _MOST_NAMED
        return WorkFailed(
            "dbt ended well, but has no result for "
            f"{len(missing)} of {len(self.owed)} selected nodes.",
            seen="\n".join(
                [*missing[:_MOST_NAMED], *([f"... and {more} more."] if more > 0 else [])]
            ),
            remedy="They may be disabled by a variable or the target, gone since the manifest was "
            "made (dbt parse makes a new one), or their results not logged (--quiet).\n"
            f"Command: {self.dbt_process.short_command}",
        )


def _decoded(line: bytes) -> dict[str, Any] | None:
    if line.startswith(b"{"):
        with suppress(msgspec.DecodeError):
            event = cast("dict[str, Any]", decode(line))
            if isinstance(event.get("info"), dict) and isinstance(event.get("data"), dict):
                return event
    return None
