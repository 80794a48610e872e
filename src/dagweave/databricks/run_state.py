"""In what state a run of a job is, and what that means. Knows nothing of Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.jobs import Run

# https://docs.databricks.com/api/workspace/jobs/getrun
_GOES_ON: Final = frozenset(
    {"BLOCKED", "PENDING", "QUEUED", "RUNNING", "TERMINATING", "WAITING_FOR_RETRY", "WAITING"}
)
_ENDED: Final = frozenset({"TERMINATED", "SKIPPED", "INTERNAL_ERROR"})
_SUCCESSES: Final = frozenset({"SUCCESS", "SUCCESS_WITH_FAILURES"})


@dataclass(frozen=True, slots=True)
class DatabricksRunState:
    """The state of a run, in the words of the Jobs API.

    `life_cycle_state` is `None` where the SDK that is installed has no word for it; `result_state`
    is `None` until the run has ended.
    """

    life_cycle_state: str | None
    result_state: str | None
    state_message: str | None

    @classmethod
    def of(cls, run: Run) -> DatabricksRunState:
        """The state of a run."""
        state = run.state
        if state is None:
            return cls(None, None, None)
        return cls(_word(state.life_cycle_state), _word(state.result_state), state.state_message)

    def has_terminated(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.life_cycle_state in _ENDED

    def is_known(self) -> bool:
        """Whether we know what the state means."""
        return self.life_cycle_state in _ENDED | _GOES_ON

    def is_skipped(self) -> bool:
        """Whether it was not carried out, since another run of its job was going on, for example."""
        return self.life_cycle_state == "SKIPPED" or (
            self.has_terminated() and self.result_state == "EXCLUDED"
        )

    def is_successful(self) -> bool:
        """Whether it ended well."""
        return self.result_state in _SUCCESSES

    def __str__(self) -> str:
        """The words: `TERMINATED, FAILED: Task exited with code 1`."""
        words = ", ".join(filter(None, (self.life_cycle_state, self.result_state))) or "unknown"
        return f"{words}: {self.state_message}" if self.state_message else words


def failures_of(workspace: WorkspaceClient, run_id: int) -> str:
    """What the tasks of a run that failed say, each on a line of its own."""
    lines: list[str] = []
    for task in workspace.jobs.get_run(run_id).tasks or ():
        state = task.state
        result = _word(state.result_state) if state else None
        if state is None or result in {None, *_SUCCESSES, "EXCLUDED"}:
            continue
        output = workspace.jobs.get_run_output(task.run_id) if task.run_id else None
        said = [state.state_message, output.error if output else None]
        seen = "; ".join(dict.fromkeys(each.strip() for each in said if each))
        lines.append(f"Task {task.task_key}: {result}: {seen}")
    return "\n".join(lines)


def _word(value: Any) -> str | None:
    return None if value is None else str(value.value)
