"""Remember in the run which sync a step waits for, so that a later attempt finds it again.

The handle is a tag of the run: it is stored at once, where the next attempt reads it from whatever
machine, and people see it in Dagster's UI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from dagster import AssetExecutionContext, DagsterError, OpExecutionContext

from dagweave._dagster.attempts import earlier_runs, step_of
from dagweave.connector.model import Handle

if TYPE_CHECKING:
    from dagster import DagsterInstance

TAG: Final = "dagweave/sync"


class _Entry(msgspec.Struct):
    """A handle, and the attempt whose it is: tags are copied to runs that do all again."""

    run_id: str
    step: str
    handle: Handle


class Journal:
    """The syncs of one step, attempt after attempt."""

    def __init__(self, context: AssetExecutionContext | OpExecutionContext, connection_id: str):
        self._step = step_of(context)
        self._tag = f"{TAG}/{connection_id}"
        try:
            self._run_id = self._step.run.run_id
            self._name = str(self._step.op_handle)
            self._instance: DagsterInstance | None = self._step.instance
        except (AttributeError, DagsterError):
            # A function that is called directly: nobody takes up what it began.
            self._instance = None

    def keep(self, handle: Handle) -> None:
        """Store the handle before anything else happens."""
        if self._instance is None:
            return
        entry = _Entry(self._run_id, self._name, handle)
        text = msgspec.json.encode(entry).decode()
        self._instance.add_run_tags(self._run_id, {self._tag: text})

    def earlier(self) -> Handle | None:
        """The handle that the latest earlier attempt of this step stored."""
        if self._instance is None:
            return None
        for run_id in reversed(list(earlier_runs(self._step))):
            run = self._instance.get_run_by_id(run_id)
            text = run.tags.get(self._tag) if run else None
            if text is None:
                continue
            entry = msgspec.json.decode(text, type=_Entry)
            if (entry.run_id, entry.step) == (run_id, self._name):
                return entry.handle
        return None

    def is_being_cancelled(self) -> bool:
        """Whether a person cancels the run; not so where merely its process is lost."""
        if self._instance is None:
            return False
        run = self._instance.get_run_by_id(self._run_id)
        return run is not None and run.status.value in ("CANCELING", "CANCELED")
