"""The five verbs of the connector family, as Airbyte knows them."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from dagster import get_dagster_logger

from dagweave._kernel.errors import InvalidInput, Refused, Unavailable
from dagweave.airbyte.models import AirbyteJob, StreamStats, props_of
from dagweave.airbyte.translator import label_of, place_of
from dagweave.connector.model import (
    Condition,
    Handle,
    Phase,
    Progress,
    Standing,
    SyncedTable,
    Wish,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dagweave.airbyte.client import AirbyteClient
    from dagweave.airbyte.models import AirbyteWorkspaceData

COMPLETED_AT: Final = "dagster-airbyte/sync_completed_at"
JOB_ID: Final = "dagster-airbyte/job_id"
ROWS: Final = "dagster-airbyte/rows_synced"
BYTES: Final = "dagster-airbyte/bytes_synced"

# https://reference.airbyte.com/reference/getjob
_PHASES: Final = {
    "pending": Phase.RUNNING,
    "queued": Phase.RUNNING,
    "running": Phase.RUNNING,
    # An attempt failed, and Airbyte makes another.
    "incomplete": Phase.RUNNING,
    "succeeded": Phase.SUCCEEDED,
    "failed": Phase.FAILED,
    "error": Phase.FAILED,
    "cancelled": Phase.CANCELLED,
}
_LOOKBACK: Final = timedelta(days=2)
_NEWEST: Final = "createdAt|DESC"


class AirbyteSyncs:
    """The syncs of one workspace: jobs, which count up, so that a later one has a higher number."""

    vendor = "Airbyte"

    def __init__(self, client: AirbyteClient) -> None:
        self.client = client
        self.account = f"{client.workspace_id} at {client.rest.base_url}"

    def snapshot(self) -> AirbyteWorkspaceData:
        """All connections, with their destinations and streams."""
        data = self.client.workspace()
        warn = get_dagster_logger().warning
        if not data.connections_by_id:
            warn(
                f"Airbyte workspace {self.account} shows no connections. Check that workspace_id "
                "is the right one, and that the client may read it."
            )
        for connection in data.connections_by_id.values():
            if connection.status != "active":
                warn(
                    f"Airbyte connection {connection.name!r} ({connection.id}) is "
                    f"{connection.status}. Its tables stay assets."
                )
            if not any(stream.selected for stream in connection.streams.values()):
                warn(
                    f"Airbyte connection {connection.name!r} ({connection.id}) has no streams, and "
                    "so no assets."
                )
        return data

    def standing(self, connection_id: str) -> Standing:
        """How a connection is just now."""
        found = self._connection(connection_id)
        newest: AirbyteJob | None = None
        running: Handle | None = None
        since = _text(datetime.now(UTC) - _LOOKBACK)
        for job in self.client.jobs(
            connectionId=connection_id, createdAtStart=since, orderBy=_NEWEST
        ):
            newest = newest if newest and newest.id > job.id else job
            if running is None and not job.has_ended:
                running = Handle(connection_id, job_id=str(job.id))
        problem = "" if found.status in ("active", "inactive") else f"It is {found.status}."
        return Standing(
            connection_id,
            found.name,
            before=str(newest.id if newest else 0),
            paused=found.status == "inactive",
            running=running,
            problem=problem,
        )

    def start(self, handle: Handle, wish: Wish) -> Handle:
        """Begin a job; if one runs already, that is the one."""
        id_ = handle.connection_id
        try:
            if not wish.resync:
                return _of(handle, self.client.start(id_))
            streams = self._streams(id_, wish)
            if wish.mode == "clear":
                self.client.clear(id_, streams)
            else:
                self.client.refresh(id_, streams, truncate=wish.mode == "truncate")
        except Refused as error:
            # Somebody was faster by a moment.
            found = self._since(handle) if error.status == 409 else None
            if found is None:
                raise
            return _of(handle, found)
        found = self._since(handle)
        if found is None:
            raise Unavailable(f"Airbyte began no job for connection {id_!r}, and refused none.")
        return _of(handle, found)

    def poll(self, handles: Sequence[Handle]) -> Mapping[str, Progress]:
        """How these jobs are: one request for one, one per hundred of the latest jobs for more."""
        known = {handle.key: handle for handle in handles if handle.job_id}
        found: dict[str, AirbyteJob] = {}
        if len(known) == 1:
            ((key, handle),) = known.items()
            found[key] = self.client.job(handle.job_id)
        elif known:
            found |= self._latest(known)
        for handle in handles:
            if not handle.job_id and (job := self._since(handle)):
                found[handle.key] = job
        return {key: self._progress(job) for key, job in found.items()}

    def cancel(self, handle: Handle) -> None:
        """Stop a job."""
        job = None if handle.job_id else self._since(handle)
        if job_id := handle.job_id or (str(job.id) if job else ""):
            self.client.cancel(job_id)

    def unpause(self, connection_id: str) -> None:
        """Let a connection that is inactive sync again."""
        self.client.activate(connection_id)

    def tables(self, handle: Handle, progress: Progress) -> Sequence[SyncedTable]:
        """The tables that were synced, with how much was written to each."""
        connection = self.client.connection(handle.connection_id)
        destination = self.client.destination(connection.destination_id)
        job_id = str(progress.facts.get("job_id", handle.job_id))
        details = self.client.job_details(job_id)
        stats: Mapping[Any, StreamStats] = details.stats() if details else {}
        tables: list[SyncedTable] = []
        for path, props in props_of(connection, destination):
            written = stats.get((props.namespace, props.stream_name), StreamStats())
            said = {ROWS: written.records, BYTES: written.bytes, COMPLETED_AT: progress.ended_at}
            metadata: dict[str, Any] = {
                **place_of(props),
                JOB_ID: job_id,
                **{name: value for name, value in said.items() if value is not None},
            }
            tables.append(SyncedTable(connection.id, path, label_of(props), props, metadata))
        return tables

    def columns(self, table: SyncedTable) -> Mapping[str, str]:
        """The columns of a table, as the catalog has them."""
        return table.props.columns or {}

    def conditions(self, since: float | None = None) -> Iterable[Condition]:
        """How all connections are; only of those whose jobs ended `since`, if that is given."""
        begin = datetime.now(UTC) - _LOOKBACK
        if since is not None:
            begin = max(begin, datetime.fromtimestamp(since, UTC))
        last: dict[str, AirbyteJob] = {}
        for job in self.client.jobs(updatedAtStart=_text(begin), orderBy="updatedAt|DESC"):
            if job.has_ended and job.kind == "sync":
                last.setdefault(job.connection_id, job)
        if since is not None:
            yield from (self._condition(id_, job=job) for id_, job in last.items())
            return
        for connection in self.client.connections():
            yield self._condition(
                connection.id, connection.name, connection.status, last.get(connection.id)
            )

    def page(self, connection_id: str) -> str:
        """Where people look at the connection."""
        base = self.client.rest.base_url
        at = "https://cloud.airbyte.com" if "api.airbyte.com" in base else base.partition("/api")[0]
        return f"{at}/workspaces/{self.client.workspace_id}/connections/{connection_id}"

    def requests_of_a_sync(self, connection_id: str) -> Sequence[str]:
        """The requests that a sync would make, for people. Makes none."""
        details = ["POST /jobs/get (Configuration API)"] if self.client.configuration else []
        full = "POST /connections/get (Configuration API)"
        return [
            f"GET /connections/{connection_id}",
            f"GET /jobs?connectionId={connection_id}",
            f"POST /jobs connectionId={connection_id} jobType=sync",
            "GET /jobs/<its job>, or GET /jobs where several are waited for, per poll_interval",
            full if self.client.configuration else f"GET /connections/{connection_id}",
            "GET /destinations/<its destination>",
            *details,
        ]

    def _connection(self, connection_id: str) -> Any:
        try:
            return self.client.status_of(connection_id)
        except Refused as error:
            if error.status != 404:
                raise
            known = [each.id for each in self.client.connections()]
            near = difflib.get_close_matches(connection_id, known, n=3)
            raise InvalidInput(
                f"Airbyte has no connection {connection_id!r} (any more).",
                seen=f"Nearest: {', '.join(near)}." if near else str(error),
                remedy="Renew the snapshot: dagweave refresh.",
            ) from error

    def _streams(self, connection_id: str, wish: Wish) -> list[dict[str, str]]:
        """The streams of a wish, as the Configuration API wants them."""
        wanted = {name for names in (wish.tables or {}).values() for name in names}
        if not wanted:
            return []
        found = [
            {
                "streamName": stream.name,
                **({"streamNamespace": stream.namespace} if stream.namespace else {}),
            }
            for stream in self.client.connection(connection_id).streams.values()
            if stream.name in (wish.tables or {}).get(stream.namespace or "", ())
        ]
        if len(found) < sum(map(len, (wish.tables or {}).values())):
            unknown = sorted(wanted - {each["streamName"] for each in found})
            raise InvalidInput(
                f"Airbyte connection {connection_id!r} has no stream {', '.join(unknown)} in the "
                "namespace that is given.",
                remedy="Name streams by their namespace, which is empty where there is none: "
                '{"": ["orders"]}.',
            )
        return found

    def _since(self, handle: Handle) -> AirbyteJob | None:
        """The job that was begun after the one that the handle remembers."""
        before = int(handle.before or 0)
        newest = self.client.jobs(connectionId=handle.connection_id, orderBy=_NEWEST)
        return next((job for job in newest if job.id > before), None)

    def _latest(self, known: Mapping[str, Handle]) -> dict[str, AirbyteJob]:
        keys = {handle.job_id: key for key, handle in known.items()}
        oldest = min(map(int, keys))
        found: dict[str, AirbyteJob] = {}
        for job in self.client.jobs(orderBy=_NEWEST):
            if key := keys.get(str(job.id)):
                found[key] = job
            if job.id < oldest or len(found) == len(keys):
                break
        return found

    def _progress(self, job: AirbyteJob) -> Progress:
        phase = _PHASES.get(job.status, Phase.UNKNOWN)
        message = self._trouble(job) if phase is Phase.FAILED else ""
        facts = {"job_id": job.id, "rows": job.rows, "bytes": job.bytes}
        return Progress(phase, job.status, message, ended_at=_ended(job), facts=facts)

    def _trouble(self, job: AirbyteJob) -> str:
        """Why a job failed; that it cannot be told is no reason to fail otherwise."""
        try:
            details = self.client.job_details(str(job.id))
        except (Refused, Unavailable):
            return f"Job {job.id} failed; no reason could be had."
        said = details.trouble() if details else ""
        return f"Job {job.id} failed. {said}".strip()

    def _condition(
        self,
        connection_id: str,
        name: str = "",
        status: str = "active",
        job: AirbyteJob | None = None,
    ) -> Condition:
        succeeded = job is None or job.status == "succeeded"
        return Condition(
            connection_id,
            name or connection_id,
            paused=status == "inactive",
            problem="" if status in ("active", "inactive") else f"It is {status}.",
            ended_at=_ended(job) if job else None,
            succeeded=succeeded,
            message="" if succeeded or job is None else self._trouble(job),
            facts={JOB_ID: str(job.id)} if job else {},
        )


def _of(handle: Handle, job: AirbyteJob) -> Handle:
    return Handle(handle.connection_id, handle.before, str(job.id))


def _ended(job: AirbyteJob) -> float | None:
    if not (job.has_ended and job.last_updated_at):
        return None
    return datetime.fromisoformat(job.last_updated_at).timestamp()


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
