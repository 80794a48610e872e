"""An Airbyte workspace on this machine: both of its APIs over real HTTP, scripted jobs, faults.

https://reference.airbyte.com (the public API), and the Configuration API of airbyte-platform.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from dagweave.testing.rest import Reply, Request, RestServer, Route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PUBLIC: Final = "/api/public/v1"
CONFIGURATION: Final = "/api/v1"
_SNOWFLAKE: Final = {
    "host": "acme.snowflakecomputing.com",
    "role": "LOADER",
    "warehouse": "LOADING",
    "database": "RAW",
    "schema": "PUBLIC",
    "username": "LOADER",
}
_ENDED: Final = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class AirbyteSync:
    """How one job goes.

    Args:
        outcome: `endless` lasts until `AirbyteServer.finish` is called.
        states: The states that are said before the last, one per look; 0 of them is a job that
            ends between two looks.
        lasts_s: How long it lasts at least, in seconds.
        message: What Airbyte tells users about a failure.
        rows: How many rows each stream writes.
        partial: Whether some streams succeeded though the job failed.
    """

    outcome: Literal["succeeded", "failed", "cancelled", "endless"] = "succeeded"
    states: tuple[str, ...] = ("pending", "running")
    lasts_s: float = 0.0
    message: str = "The source refused the connection."
    rows: int = 10
    partial: bool = False


@dataclass
class AirbyteStream:
    """A stream of a connection."""

    name: str
    namespace: str | None = None
    columns: tuple[str, ...] = ("id", "name")
    selected: bool = True


@dataclass
class AirbyteConnection:
    """A connection of the workspace, as the server keeps it. Change it at will."""

    id: str
    name: str
    streams: list[AirbyteStream]
    prefix: str | None = None
    status: str = "active"
    destination_id: str = "destination"
    namespace_definition: str = "destination"
    namespace_format: str | None = None
    script: deque[AirbyteSync] = field(default_factory=deque[AirbyteSync])


@dataclass
class AirbyteJob:
    """A job, as the server keeps it."""

    id: int
    connection_id: str
    kind: str
    sync: AirbyteSync
    created_at: float
    updated_at: float
    ends_at: float
    streams: list[dict[str, Any]] | None = None
    looks: int = 0
    status: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether it will not change any more."""
        return self.status in _ENDED


class AirbyteServer(RestServer):
    """An Airbyte workspace on a port of this machine.

    ```python
    from dagweave.airbyte import AirbyteWorkspace
    from dagweave.testing import AirbyteServer

    with AirbyteServer() as server:
        server.add_connection("shop", streams=["orders", "customers"])
        workspace = AirbyteWorkspace(
            rest_api_base_url=server.rest_api_base_url,
            configuration_api_base_url=server.configuration_api_base_url,
            workspace_id=server.workspace_id,
            client_id=server.client_id, client_secret=server.client_secret,
        )
        assert len(workspace.load_asset_specs()) == 2
    ```

    Args:
        auth: Who is let in: clients with a token, users with a password, or everybody.
        token_lasts_s: After how many seconds a token is refused.
        with_configuration_api: Whether there is a Configuration API at all.
    """

    service = "Airbyte"

    def __init__(
        self,
        *,
        port: int = 0,
        latency_s: float = 0.0,
        auth: Literal["token", "basic", "none"] = "token",
        client_id: str = "local-client",
        client_secret: str = "local-client-secret",  # noqa: S107 -- it opens nothing but this
        username: str = "airbyte",
        password: str = "local-password",  # noqa: S107 -- it opens nothing but this
        token_lasts_s: float = 900.0,
        with_configuration_api: bool = True,
    ) -> None:
        super().__init__(port=port, latency_s=latency_s)
        self.client_id = client_id
        self.client_secret = client_secret
        self.username = username
        self.password = password
        self.workspace_id = "0b3b2b5e-0000-4000-8000-000000000001"
        self.with_configuration_api = with_configuration_api
        self.connections: dict[str, AirbyteConnection] = {}
        self.destinations: dict[str, dict[str, Any]] = {}
        self.jobs: dict[int, AirbyteJob] = {}
        self._auth = auth
        self._token_lasts_s = token_lasts_s
        self._tokens: dict[str, float] = {}

    @property
    def rest_api_base_url(self) -> str:
        """Where the public API is."""
        return self.url + PUBLIC

    @property
    def configuration_api_base_url(self) -> str:
        """Where the Configuration API is."""
        return self.url + CONFIGURATION

    def add_destination(
        self,
        destination_id: str = "destination",
        *,
        kind: str = "snowflake",
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a destination."""
        given = _SNOWFLAKE if configuration is None else configuration
        self.destinations[destination_id] = {"kind": kind, "configuration": dict(given)}

    def add_connection(
        self,
        name: str,
        *,
        streams: Sequence[str | AirbyteStream] = (),
        connection_id: str | None = None,
        **state: Any,
    ) -> AirbyteConnection:
        """Add a connection, and its destination if there is none; return it.

        Args:
            state: Other fields of `AirbyteConnection`.
        """
        known = [AirbyteStream(each) if isinstance(each, str) else each for each in streams]
        connection = AirbyteConnection(connection_id or f"{name}_id", name, known, **state)
        if connection.destination_id not in self.destinations:
            self.add_destination(connection.destination_id)
        self.connections[connection.id] = connection
        return connection

    def script(self, connection_id: str, *syncs: AirbyteSync) -> None:
        """Say how the next jobs of a connection go; those after them succeed at the third look."""
        self.connections[connection_id].script.extend(syncs)

    def begin(self, connection_id: str) -> AirbyteJob:
        """Begin a sync, as Airbyte's own schedule or somebody else would."""
        with self.lock:
            return self._begin(self.connections[connection_id], "sync")

    def finish(self, connection_id: str, outcome: str = "succeeded") -> None:
        """End the job of a connection that runs."""
        with self.lock:
            for job in self._running(connection_id):
                self._end(job, outcome)

    def begun(self, connection_id: str) -> list[str]:
        """The kinds of the jobs of a connection, in order."""
        return [job.kind for job in self.jobs.values() if job.connection_id == connection_id]

    def routes(self) -> Sequence[Route]:
        """What of the two APIs is here."""
        public: list[Route] = [
            ("POST", "/applications/token", self._token),
            ("GET", "/workspaces/([^/]+)", self._workspace),
            ("GET", "/workspaces", self._workspaces),
            ("GET", "/connections", self._list_connections),
            ("GET", "/connections/([^/]+)", self._public_connection),
            ("PATCH", "/connections/([^/]+)", self._change),
            ("GET", "/destinations", self._list_destinations),
            ("GET", "/destinations/([^/]+)", self._destination),
            ("GET", "/jobs", self._list_jobs),
            ("POST", "/jobs", self._create_job),
            ("GET", "/jobs/([^/]+)", self._job),
            ("DELETE", "/jobs/([^/]+)", self._cancel),
        ]
        configuration: list[Route] = [
            ("POST", "/connections/get", self._full_connection),
            ("POST", "/connections/list", self._full_list),
            ("POST", "/connections/refresh", self._refresh),
            ("POST", "/connections/clear", self._clear),
            ("POST", "/connections/clear/stream", self._clear),
            ("POST", "/jobs/get", self._full_job),
        ]
        return [
            *((method, PUBLIC + path, handler) for method, path, handler in public),
            *((method, CONFIGURATION + path, handler) for method, path, handler in configuration),
        ]

    def refuse(self, request: Request) -> Reply | None:
        """Who is not let in."""
        private = not request.path.startswith(PUBLIC)
        if private and not self.with_configuration_api:
            return _wrong(404, "There is no Configuration API here.")
        if request.path.endswith("/applications/token") or self._auth == "none":
            return None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if self._auth == "basic":
            wanted = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            return None if (scheme, given) == ("Basic", wanted) else _wrong(401, "Unauthorized")
        if scheme == "Bearer" and self._tokens.get(given, 0.0) > time.monotonic():
            return None
        return _wrong(401, "Unauthorized")

    def _token(self, request: Request) -> Reply:
        body: Mapping[str, Any] = request.body or {}
        if (body.get("client_id"), body.get("client_secret")) != (
            self.client_id,
            self.client_secret,
        ):
            return _wrong(401, "Invalid client")
        token = uuid.uuid4().hex
        self._tokens[token] = time.monotonic() + self._token_lasts_s
        lasts = max(int(self._token_lasts_s), 1)
        return Reply({"access_token": token, "token_type": "Bearer", "expires_in": lasts})

    def _workspaces(self, request: Request) -> Reply:
        return self._page(request, [self._workspace_shown()])

    def _workspace(self, _request: Request, id_: str) -> Reply:
        if id_ != self.workspace_id:
            return _wrong(404, f"Could not find workspace {id_}")
        return Reply(self._workspace_shown())

    def _workspace_shown(self) -> dict[str, Any]:
        return {
            "workspaceId": self.workspace_id,
            "name": "local",
            "dataResidency": "auto",
            "notifications": {},
        }

    def _page(self, request: Request, items: list[dict[str, Any]]) -> Reply:
        limit, offset = request.one("limit", "20"), request.one("offset", "0")
        if not limit.isdecimal() or not 1 <= int(limit) <= 100:
            return _wrong(400, "limit must be between 1 and 100")
        start, end = int(offset), int(offset) + int(limit)
        found = items[start:end]
        path = request.path.removeprefix(PUBLIC)
        # The address of an inner server, as Airbyte behind a proxy says it.
        after = f"http://airbyte-inner:8001{path}?limit={limit}&offset={end}" if found else ""
        before = f"http://airbyte-inner:8001{path}?limit={limit}&offset=0" if start else ""
        return Reply({"data": found, "next": after, "previous": before})

    def _list_connections(self, request: Request) -> Reply:
        return self._page(request, [_public(each) for each in self.connections.values()])

    def _public_connection(self, _request: Request, id_: str) -> Reply:
        known = self.connections.get(id_)
        return Reply(_public(known)) if known else _unknown(id_)

    def _change(self, request: Request, id_: str) -> Reply:
        known = self.connections.get(id_)
        if known is None:
            return _unknown(id_)
        known.status = (request.body or {}).get("status", known.status)
        return Reply(_public(known))

    def _list_destinations(self, request: Request) -> Reply:
        return self._page(request, [self._destination_shown(id_) for id_ in self.destinations])

    def _destination(self, _request: Request, id_: str) -> Reply:
        if id_ not in self.destinations:
            return _wrong(404, f"Could not find destination {id_}")
        return Reply(self._destination_shown(id_))

    def _destination_shown(self, id_: str) -> dict[str, Any]:
        known = self.destinations[id_]
        return {
            "destinationId": id_,
            "name": f"name of {id_}",
            "destinationType": known["kind"],
            "definitionId": "definition",
            "workspaceId": self.workspace_id,
            "configuration": {"destinationType": known["kind"], **known["configuration"]},
            "createdAt": 1_735_689_600,
        }

    def _full_connection(self, request: Request) -> Reply:
        body: Mapping[str, Any] = request.body or {}
        known = self.connections.get(body.get("connectionId", ""))
        return Reply(_full(known)) if known else _unknown("connectionId")

    def _full_list(self, request: Request) -> Reply:
        if (request.body or {}).get("workspaceId") != self.workspace_id:
            return _wrong(404, "Could not find the workspace")
        return Reply({"connections": [_full(each) for each in self.connections.values()]})

    def _refresh(self, request: Request) -> Reply:
        return self._configured(request, "refresh")

    def _clear(self, request: Request) -> Reply:
        return self._configured(request, "clear")

    def _configured(self, request: Request, kind: str) -> Reply:
        body: Mapping[str, Any] = request.body or {}
        known = self.connections.get(body.get("connectionId", ""))
        if known is None:
            return _unknown(body.get("connectionId", ""))
        if any(self._running(known.id)):
            return _wrong(409, f"A sync is already running for {known.id}")
        job = self._begin(known, kind)
        job.streams = body.get("streams")
        return Reply(self._with_attempts(job))

    def _full_job(self, request: Request) -> Reply:
        body: Mapping[str, Any] = request.body or {}
        job = self.jobs.get(int(body.get("id", 0)))
        return Reply(self._with_attempts(job)) if job else _wrong(404, "Could not find the job")

    def _with_attempts(self, job: AirbyteJob) -> dict[str, Any]:
        known = self.connections[job.connection_id]
        stats = [
            {
                "streamName": stream.name,
                **({"streamNamespace": stream.namespace} if stream.namespace else {}),
                "stats": {
                    "recordsEmitted": job.sync.rows,
                    "recordsCommitted": job.sync.rows if job.status == "succeeded" else 0,
                    "bytesCommitted": 100 * job.sync.rows,
                },
            }
            for stream in known.streams
            if stream.selected
        ]
        attempt: dict[str, Any] = {"id": 0, "status": job.status, "streamStats": stats}
        if job.status == "failed":
            failure = {"failureOrigin": "source", "externalMessage": job.sync.message}
            attempt["failureSummary"] = {"failures": [failure], "partialSuccess": job.sync.partial}
        return {
            "job": {"id": job.id, "configType": job.kind, "status": job.status},
            "attempts": [{"attempt": attempt, "logs": {"logLines": []}}],
        }

    def _list_jobs(self, request: Request) -> Reply:
        wanted = request.one("connectionId")
        after = {name: request.one(name) for name in ("createdAtStart", "updatedAtStart")}
        status, kind = request.one("status"), request.one("jobType")
        found: list[AirbyteJob] = []
        for job in self.jobs.values():
            self._look(job)
            if wanted and job.connection_id != wanted:
                continue
            if (status and job.status != status) or (kind and job.kind != kind):
                continue
            if job.created_at < _seconds(after["createdAtStart"]):
                continue
            if job.updated_at >= _seconds(after["updatedAtStart"]):
                found.append(job)
        field_, _, direction = request.one("orderBy", "createdAt|ASC").partition("|")
        found.sort(
            key=lambda job: (job.updated_at if field_ == "updatedAt" else job.created_at, job.id),
            reverse=direction == "DESC",
        )
        return self._page(request, [_job(job) for job in found])

    def _create_job(self, request: Request) -> Reply:
        body: Mapping[str, Any] = request.body or {}
        known = self.connections.get(body.get("connectionId", ""))
        if known is None:
            return _unknown(body.get("connectionId", ""))
        if known.status != "active":
            return _wrong(400, f"Connection {known.id} is {known.status}")
        if any(self._running(known.id)):
            return _wrong(409, f"A sync is already running for: {known.id}")
        return Reply(_job(self._begin(known, body.get("jobType", "sync"))))

    def _job(self, _request: Request, id_: str) -> Reply:
        job = self.jobs.get(int(id_)) if id_.isdecimal() else None
        if job is None:
            return _wrong(404, f"Could not find job {id_}")
        self._look(job)
        return Reply(_job(job))

    def _cancel(self, _request: Request, id_: str) -> Reply:
        job = self.jobs.get(int(id_)) if id_.isdecimal() else None
        if job is None:
            return _wrong(404, f"Could not find job {id_}")
        if job.has_ended:
            return _wrong(409, f"Job {id_} is not currently running")
        self._end(job, "cancelled")
        return Reply(_job(job))

    def _running(self, connection_id: str) -> list[AirbyteJob]:
        jobs = self.jobs.values()
        return [job for job in jobs if job.connection_id == connection_id and not job.has_ended]

    def _begin(self, known: AirbyteConnection, kind: str) -> AirbyteJob:
        sync = known.script.popleft() if known.script else AirbyteSync()
        now = time.time()
        job = AirbyteJob(
            len(self.jobs) + 1, known.id, kind, sync, now, now, time.monotonic() + sync.lasts_s
        )
        self.jobs[job.id] = job
        job.status = sync.states[0] if sync.states else "pending"
        return job

    def _look(self, job: AirbyteJob) -> None:
        if job.has_ended:
            return
        states = job.sync.states
        if job.looks < len(states):
            job.status = states[job.looks]
        elif job.sync.outcome != "endless" and time.monotonic() >= job.ends_at:
            self._end(job, job.sync.outcome)
        job.looks += 1

    def _end(self, job: AirbyteJob, outcome: str) -> None:
        job.status, job.updated_at = outcome, time.time()


def _public(known: AirbyteConnection) -> dict[str, Any]:
    streams = [
        {
            "name": each.name,
            **({"namespace": each.namespace} if each.namespace else {}),
            "syncMode": "full_refresh_overwrite",
            "cursorField": [],
            "primaryKey": [["id"]],
            "selectedFields": [],
            "mappers": [],
        }
        for each in known.streams
        if each.selected
    ]
    return {
        "connectionId": known.id,
        "name": known.name,
        "sourceId": "source",
        "destinationId": known.destination_id,
        "workspaceId": "0b3b2b5e-0000-4000-8000-000000000001",
        "status": known.status,
        "schedule": {"scheduleType": "manual"},
        "dataResidency": "auto",
        "nonBreakingSchemaUpdatesBehavior": "ignore",
        "namespaceDefinition": known.namespace_definition,
        "namespaceFormat": known.namespace_format,
        "prefix": known.prefix or "",
        "configurations": {"streams": streams},
        "createdAt": 1_735_689_600,
        "tags": [],
    }


def _full(known: AirbyteConnection) -> dict[str, Any]:
    streams = [
        {
            "stream": {
                "name": each.name,
                **({"namespace": each.namespace} if each.namespace else {}),
                "jsonSchema": {
                    "type": "object",
                    "properties": {name: {"type": ["null", "string"]} for name in each.columns},
                },
                "supportedSyncModes": ["full_refresh"],
            },
            "config": {
                "syncMode": "full_refresh",
                "destinationSyncMode": "overwrite",
                "selected": each.selected,
            },
        }
        for each in known.streams
    ]
    return {
        "connectionId": known.id,
        "name": known.name,
        "sourceId": "source",
        "destinationId": known.destination_id,
        "status": known.status,
        "namespaceDefinition": known.namespace_definition,
        "namespaceFormat": known.namespace_format,
        **({"prefix": known.prefix} if known.prefix else {}),
        "syncCatalog": {"streams": streams},
    }


def _job(job: AirbyteJob) -> dict[str, Any]:
    shown = {
        "jobId": job.id,
        "status": job.status,
        "jobType": job.kind,
        "connectionId": job.connection_id,
        "startTime": _text(job.created_at),
        "lastUpdatedAt": _text(job.updated_at),
    }
    if job.has_ended:
        rows = job.sync.rows if job.status == "succeeded" else 0
        shown |= {"duration": "PT1S", "bytesSynced": 100 * rows, "rowsSynced": rows}
    return shown


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def _wrong(status: int, message: str) -> Reply:
    return Reply(
        {"type": "about:blank", "title": message, "status": status, "detail": message}, status
    )


def _unknown(id_: str) -> Reply:
    return _wrong(404, f"Could not find connection {id_}")
