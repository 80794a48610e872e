"""Carry out SQL on a warehouse through the Statement Execution API. Knows nothing of Dagster.

https://docs.databricks.com/api/workspace/statementexecution

A statement is sent once. Where its answer is lost, it is looked up in the query history, by a mark
that it carries, and waited for under the id that it has there.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.errors import DagweaveError, Unavailable, WaitTimeout, WorkFailed
from dagweave._kernel.wait import backoff, wait_for
from dagweave.databricks.dialect import bound
from dagweave.databricks.failures import is_conflict, of_request, of_statement, sdk, translated
from dagweave.databricks.result import Answer, chunks
from dagweave.warehouse.sql import Sql, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from databricks.sdk import WorkspaceClient

    from dagweave.warehouse.arrow import Stream

_ANSWER_WITHIN: Final = "30s"
_HISTORY_LAGS_S: Final = 60.0
_CONFLICTS: Final = 5
_NOT_SENT: Final = 6


def _silent(message: str) -> None:
    """Where nobody wants to know."""


@dataclass(eq=False)
class SqlWarehouse:
    """A SQL warehouse of a workspace; safe to share between threads.

    Users' own type handlers get it as their connection.

    Args:
        workspace: The SDK's client.
        warehouse_id: Which SQL warehouse.
        timeout_s: Longest time that a statement may take, the start of the warehouse included; it
            is cancelled then. `None` for no limit.
        tell: Gets a sentence when something takes long.
    """

    workspace: WorkspaceClient
    warehouse_id: str
    timeout_s: float | None = None
    tell: Callable[[str], None] = _silent
    secrets: tuple[str, ...] = field(default=(), repr=False)
    clock: Clock = field(default=SYSTEM_CLOCK, repr=False)

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Execute one statement, and return its rows as the API's JSON has them: text, or `None`.

        Args:
            sql: The statement. Each `?` in it stands for a parameter.
            parameters: The values for them.

        Raises:
            DagweaveError: Why it failed, by kind.
        """
        texts = sql.split("?", len(parameters)) if parameters else [sql]
        values = [Value(each) for each in parameters]
        parts: list[str | Value] = [texts[0]]
        for value, text in zip(values, texts[1:], strict=True):
            parts += [value, text]
        return self.rows(Sql.of(*parts), "A statement of Databricks failed.").rows

    def rows(self, statement: Sql, what: str, *, changes: bool = True) -> Answer:
        """Carry out a statement with few rows, or none.

        One that loses against another writer is carried out again: it changed nothing.

        Args:
            what: What is not done if it fails, as a sentence.
            changes: Whether it changes anything; what does not, may be sent twice.
        """
        pauses = backoff(0.5, cap_s=8.0)
        attempt = 1
        while True:
            try:
                return self._carried_out(statement, what, arrow=False, changes=changes)
            except Unavailable as error:
                if attempt == _CONFLICTS or not is_conflict(str(error)):
                    raise
            attempt += 1
            self.clock.sleep(next(pauses))

    def stream(self, query: Sql, what: str) -> Stream:
        """The rows of a query, chunk by chunk."""
        answer = self._carried_out(query, what, arrow=True, changes=False)
        return chunks(self.workspace, answer, what, self.clock)

    def url(self, statement_id: str) -> str:
        """Where Databricks shows a statement."""
        return f"{self.workspace.config.host}/sql/history?queryId={statement_id}"

    def _carried_out(self, statement: Sql, what: str, *, arrow: bool, changes: bool) -> Answer:
        text, parameters = bound(statement)
        mark = f"/* dagweave {uuid.uuid4()} */"
        request = self._request(f"{mark} {text}", parameters, arrow=arrow)
        response = self._sent(request, mark, what, changes=changes)
        try:
            response = self._ended(response, what)
        except BaseException as error:
            if not isinstance(error, DagweaveError) or isinstance(error, WaitTimeout):
                self._cancel(response.statement_id)
            raise
        status = response.status
        state = status.state.value
        if state == "SUCCEEDED":
            return Answer(response)
        if state == "FAILED" and status.error is not None:
            raise of_statement(what, status.error.message or "", response.statement_id)
        raise WorkFailed(
            what, seen=f"Statement {response.statement_id} was {state.lower()} at Databricks."
        )

    def _request(
        self, text: str, parameters: list[dict[str, str | None]], *, arrow: bool
    ) -> dict[str, Any]:
        sql = sdk("databricks.sdk.service.sql")
        return {
            "statement": text,
            "warehouse_id": self.warehouse_id,
            "parameters": [sql.StatementParameterListItem(**each) for each in parameters] or None,
            "disposition": sql.Disposition.EXTERNAL_LINKS if arrow else sql.Disposition.INLINE,
            "format": sql.Format.ARROW_STREAM if arrow else sql.Format.JSON_ARRAY,
            "wait_timeout": _ANSWER_WITHIN,
            "on_wait_timeout": sql.ExecuteStatementRequestOnWaitTimeout.CONTINUE,
        }

    def _sent(self, request: dict[str, Any], mark: str, what: str, *, changes: bool) -> Any:
        began_ms = int(time.time() * 1000)
        pauses = backoff(1.0, cap_s=20.0)
        for attempt in range(1, _NOT_SENT + 1):
            try:
                return self._sender.execute_statement(**request)
            except Exception as error:
                ours = of_request(what, error, self.secrets)
                if ours is None:
                    raise
                if not isinstance(ours, Unavailable) or attempt == _NOT_SENT:
                    raise ours from error
                if changes and not _nothing_done(error):
                    return self._looked_up(mark, began_ms, ours, what)
            self.clock.sleep(next(pauses))
        raise AssertionError("unreachable")

    @property
    def _sender(self) -> Any:
        """The API, without the SDK's own retries: it would send a statement again."""
        core, sql = sdk("databricks.sdk.core"), sdk("databricks.sdk.service.sql")
        config = self.workspace.config.copy()
        # Between two attempts the SDK sleeps for longer than that.
        config.retry_timeout_seconds = 1
        return sql.StatementExecutionAPI(core.ApiClient(config))

    def _looked_up(self, mark: str, began_ms: int, lost: DagweaveError, what: str) -> Any:
        """What became of a statement whose answer was lost."""
        self.tell("The answer of Databricks was lost; looking for the statement in its history.")

        def look() -> Any:
            found = next((q for q in self._history(began_ms) if mark in (q.query_text or "")), None)
            return found and self._look(found.query_id, what)

        try:
            return wait_for(
                look,
                what="the statement in the query history of Databricks",
                timeout_s=_HISTORY_LAGS_S,
                pauses=backoff(0.5, cap_s=5.0),
                clock=self.clock,
            )
        except WaitTimeout as error:
            raise Unavailable(
                what,
                seen=f"The answer was lost: {lost.seen}\nThe query history does not have the "
                f"statement either, after {_HISTORY_LAGS_S:.0f} s: most likely it never came there.",
                remedy=f"If in doubt, look for {mark} in the query history before you try again.",
            ) from error

    def _history(self, began_ms: int) -> Iterator[Any]:
        sql = sdk("databricks.sdk.service.sql")
        # Its clock need not be ours.
        since = sql.TimeRange(start_time_ms=began_ms - 300_000)
        wanted = sql.QueryFilter(warehouse_ids=[self.warehouse_id], query_start_time_range=since)
        token: str | None = None
        while True:
            found = self.workspace.query_history.list(
                filter_by=wanted, max_results=100, page_token=token
            )
            yield from found.res or ()
            token = found.next_page_token
            if not token:
                return

    def _look(self, statement_id: str, what: str) -> Any:
        with translated(what, self.secrets):
            return self.workspace.statement_execution.get_statement(statement_id)

    def _ended(self, response: Any, what: str) -> Any:
        """Wait for a statement that has begun, and for a warehouse that has to start first."""
        if response.status.state.value not in {"PENDING", "RUNNING"}:
            return response
        last = response
        told = False

        def look() -> Any:
            nonlocal last, told
            last = self._look(response.statement_id, what)
            if last.status.state.value == "PENDING" and not told:
                told = True
                self.tell(
                    f"SQL warehouse {self.warehouse_id} is starting, or busy: waiting for it."
                )
            return None if last.status.state.value in {"PENDING", "RUNNING"} else last

        return wait_for(
            look,
            what=f"statement {response.statement_id} of Databricks",
            timeout_s=float("inf") if self.timeout_s is None else self.timeout_s,
            pauses=backoff(0.5, cap_s=5.0),
            last_seen=lambda: f"{what} It was {last.status.state.value.lower()}.",
            remedy="It was cancelled. Raise statement_timeout_s, or see why it takes so long: "
            f"{self.url(response.statement_id)}",
            clock=self.clock,
        )

    def _cancel(self, statement_id: str) -> None:
        try:
            self.workspace.statement_execution.cancel_execution(statement_id)
        except Exception as error:  # noqa: BLE001 -- the first error is the one to tell
            self.tell(f"Statement {statement_id} of Databricks could not be cancelled: {error}")


def _nothing_done(error: BaseException) -> bool:
    """Whether a request cannot have been acted on: it was refused for now, or never sent."""
    import requests
    from urllib3.exceptions import NewConnectionError

    errors = sdk("databricks.sdk.errors")
    cause: BaseException | None = error
    while cause is not None:
        refused = (errors.TooManyRequests, errors.TemporarilyUnavailable)
        if isinstance(cause, (*refused, requests.ConnectTimeout)):
            return True
        reason = getattr(cause.args[0] if cause.args else None, "reason", None)
        if isinstance(reason, NewConnectionError):
            return True
        cause = cause.__cause__
    return False
