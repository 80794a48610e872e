"""Remember which run of Databricks a step waits for, so that a later attempt finds it again.

The token with which a run is started is a tag of Dagster's run, kept before anything is begun: an
attempt that is killed, at whatever moment, starts nothing twice.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Final

import msgspec
from dagster import DagsterError

from dagweave._dagster.attempts import earlier_runs

if TYPE_CHECKING:
    from dagster import DagsterInstance, OpExecutionContext

TAG: Final = "dagweave/databricks_run"


class Start(msgspec.Struct, frozen=True):
    """A run that was started, or was going to be: the token of it, and its id once it is known."""

    attempt_of: str
    step: str
    token: str
    run_id: int | None = None


class Journal:
    """What one step started, attempt after attempt."""

    def __init__(self, step: OpExecutionContext) -> None:
        self._step = step
        self._instance: DagsterInstance | None
        try:
            self._run_id = step.run.run_id
            self._name = str(step.op_handle)
            self._instance = step.instance
        except (AttributeError, DagsterError):
            # A function that is called directly: nobody takes up what it began.
            self._run_id, self._name, self._instance = uuid.uuid4().hex, "", None
        self._tag = f"{TAG}/{hashlib.sha256(self._name.encode()).hexdigest()[:12]}"

    def begin(self) -> Start:
        """A start with a token of its own, remembered already."""
        return self.keep(Start(self._run_id, self._name, uuid.uuid4().hex))

    def keep(self, start: Start) -> Start:
        """Remember a start, as one of this attempt."""
        start = msgspec.structs.replace(start, attempt_of=self._run_id)
        if self._instance is not None:
            text = msgspec.json.encode(start).decode()
            self._instance.add_run_tags(self._run_id, {self._tag: text})
        return start

    def earlier(self) -> Start | None:
        """What the latest earlier attempt of this step started, or was going to."""
        if self._instance is None:
            return None
        for run_id in reversed(list(earlier_runs(self._step))):
            run = self._instance.get_run_by_id(run_id)
            text = run.tags.get(self._tag) if run else None
            if text is None:
                continue
            start = msgspec.json.decode(text, type=Start)
            # Tags are copied to runs that do all again.
            if (start.attempt_of, start.step) == (run_id, self._name):
                return start
        return None
