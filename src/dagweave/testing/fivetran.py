"""A Fivetran account on this machine: its REST API over real HTTP, scripted syncs, faults.

https://fivetran.com/docs/rest-api
"""

from __future__ import annotations

import base64
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from dagweave.testing.rest import Reply, Request, RestServer, Route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Tables: TypeAlias = "Mapping[str, Sequence[str]]"

_SOURCE_CALLS: Final = "/columns"


@dataclass(frozen=True, slots=True)
class FivetranSync:
    """How one sync goes.

    Args:
        outcome: `rescheduled` is what happens at a quota of the source; `endless` lasts until
            `FivetranServer.finish` is called.
        looks: How often its status is read before it ends; 0 is a sync that ends between two
            looks.
        lasts_s: How long it lasts at least, in seconds.
        message: What Fivetran says about a failure.
        rescheduled_s: In how many seconds Fivetran tries again by itself.
    """

    outcome: Literal["succeeded", "failed", "rescheduled", "endless"] = "succeeded"
    looks: int = 1
    lasts_s: float = 0.0
    message: str = "The source refused the connection."
    rescheduled_s: float = 3600.0


@dataclass
class FivetranConnection:
    """A connection (once: connector) of the account, as the server keeps it. Change it at will."""

    id: str
    schema: str
    service: str = "postgres"
    group_id: str = "group"
    tables: dict[str, dict[str, list[str]]] | None = None
    """By schema, by table: the columns. `None` before the first sync."""
    setup_state: str = "connected"
    sync_state: str = "scheduled"
    paused: bool = False
    schedule_type: str = "auto"
    sync_frequency: int = 360
    daily_sync_time: str | None = None
    succeeded_at: str | None = None
    failed_at: str | None = None
    rescheduled_for: str | None = None
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    tasks: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    warnings: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    disabled: set[str] = field(default_factory=set[str])
    """`schema` or `schema.table` that is not synced."""
    begun: list[str] = field(default_factory=list[str])
    """What was begun, in order: `sync`, `resync`, or the tables of a resync."""
    script: deque[FivetranSync] = field(default_factory=deque[FivetranSync])
    running: FivetranSync | None = None
    looks_left: int = 0
    ends_at: float = 0.0


class FivetranServer(RestServer):
    """A Fivetran account on a port of this machine.

    ```python
    from dagweave.fivetran import FivetranWorkspace
    from dagweave.testing import FivetranServer

    with FivetranServer() as server:
        server.add_connection("shop", tables={"shop": ["orders", "customers"]})
        workspace = FivetranWorkspace(
            account_id="acme", api_key=server.api_key, api_secret=server.api_secret,
            base_url=server.url,
        )
        assert len(workspace.load_asset_specs()) == 2
    ```

    Args:
        api_key: The one key that is accepted, with `api_secret`.
        requests_per_hour: What the account may ask in an hour; then 429 is answered until `refill`.
        source_requests_per_minute: The same for calls that ask the source: a table's columns.
        page_limit: The most items on a page.
    """

    service = "Fivetran"

    def __init__(
        self,
        *,
        port: int = 0,
        latency_s: float = 0.0,
        api_key: str = "local-key",
        api_secret: str = "local-secret",  # noqa: S107 -- it opens nothing but this
        requests_per_hour: int = 20_000,
        source_requests_per_minute: int = 500,
        page_limit: int = 1000,
    ) -> None:
        super().__init__(port=port, latency_s=latency_s)
        self.api_key = api_key
        self.api_secret = api_secret
        self.connections: dict[str, FivetranConnection] = {}
        self.destinations: dict[str, dict[str, Any]] = {}
        self._limits = {"": requests_per_hour, _SOURCE_CALLS: source_requests_per_minute}
        self._used = {"": 0, _SOURCE_CALLS: 0}
        self._page_limit = page_limit
        self._last_stamp = datetime(2026, 1, 1, tzinfo=UTC)

    def add_group(
        self, group_id: str = "group", *, service: str = "snowflake", database: str | None = "RAW"
    ) -> None:
        """Add a group with its destination, which has the same id."""
        self.destinations[group_id] = {"service": service, "database": database}

    def add_connection(
        self,
        name: str,
        *,
        tables: Tables | None = None,
        connection_id: str | None = None,
        columns: Sequence[str] = ("id", "name"),
        group_id: str = "group",
        **state: Any,
    ) -> FivetranConnection:
        """Add a connection, and its group if there is none; return it, to be changed at will.

        Args:
            tables: By schema: the tables. Without it, the connection never synced.
            state: Other fields of `FivetranConnection`.
        """
        if group_id not in self.destinations:
            self.add_group(group_id)
        id_ = connection_id or f"{name}_id"
        known = {s: {t: list(columns) for t in names} for s, names in (tables or {}).items()}
        connection = FivetranConnection(
            id_, name, group_id=group_id, tables=known if tables is not None else None, **state
        )
        self.connections[id_] = connection
        return connection

    def script(self, connection_id: str, *syncs: FivetranSync) -> None:
        """Say how the next syncs of a connection go; those after them succeed at the second look."""
        self.connections[connection_id].script.extend(syncs)

    def begin(self, connection_id: str) -> None:
        """Begin a sync, as Fivetran's own schedule or somebody else would."""
        with self.lock:
            self._begin(self.connections[connection_id], "schedule")

    def finish(self, connection_id: str, *, failed: bool = False) -> None:
        """End the sync that runs, or one that nobody saw begin."""
        with self.lock:
            self._end(self.connections[connection_id], "failed" if failed else "succeeded")

    def refill(self) -> None:
        """Begin a new hour: nothing of any limit is used up."""
        self._used = dict.fromkeys(self._used, 0)

    def routes(self) -> Sequence[Route]:
        """What of the API is here."""
        one = r"/v1/connect(?:ion|or)s/([^/]+)"
        return [
            ("GET", r"/v1/connections", self._list),
            ("GET", r"/v1/groups", self._groups),
            ("GET", r"/v1/groups/([^/]+)", self._group),
            ("GET", r"/v1/groups/([^/]+)/connect(?:ion|or)s", self._list),
            ("GET", r"/v1/destinations/([^/]+)", self._destination),
            ("GET", one, self._details),
            ("PATCH", one, self._change),
            ("GET", one + "/schemas", self._schemas),
            ("GET", one + "/schemas/([^/]+)/tables/([^/]+)/columns", self._columns),
            ("POST", one + "/(?:sync|force)", self._sync),
            ("POST", one + "/resync", self._resync),
            ("POST", one + "/schemas/tables/resync", self._resync),
        ]

    def refuse(self, request: Request) -> Reply | None:
        """Limits come first, as at Fivetran, then the key."""
        for kind, limit in self._limits.items():
            if kind and not request.path.endswith(kind):
                continue
            self._used[kind] += 1
            if self._used[kind] > limit:
                said = {"code": "TooManyRequests", "message": "You have exceeded your rate limit."}
                return Reply(said, 429, {"Retry-After": "60" if kind else "3600"})
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        wanted = base64.b64encode(f"{self.api_key}:{self.api_secret}".encode()).decode()
        if given != wanted:
            return _wrong(401, "AuthFailed", "Invalid authorization credentials")
        return None

    def _said(self, data: object, message: str = "") -> Reply:
        left = max(self._limits[""] - self._used[""], 0)
        headers = {"X-Rate-Limit": str(self._limits[""]), "X-Rate-Limit-Remaining": str(left)}
        said: dict[str, object] = {"code": "Success"}
        if message:
            said["message"] = message
        if data is not None:
            said["data"] = data
        return Reply(said, headers=headers)

    def _page(self, request: Request, items: list[dict[str, Any]]) -> Reply:
        asked = request.one("limit", "100")
        if not asked.isdecimal() or not 1 <= int(asked) <= 1000:
            return _wrong(400, "InvalidInput", "limit must be between 1 and 1000")
        size = min(int(asked), self._page_limit)
        start = int(request.one("cursor", "0"))
        data: dict[str, Any] = {"items": items[start : start + size]}
        if start + size < len(items):
            data["next_cursor"] = str(start + size)
        return self._said(data)

    def _groups(self, request: Request) -> Reply:
        return self._page(request, [self._group_shown(id_) for id_ in self.destinations])

    def _group(self, _request: Request, id_: str) -> Reply:
        if id_ not in self.destinations:
            return _wrong(404, "NotFound_Group", f"Cannot find group with id '{id_}'")
        return self._said(self._group_shown(id_))

    def _group_shown(self, id_: str) -> dict[str, Any]:
        return {"id": id_, "name": f"name_of_{id_}", "created_at": _CREATED}

    def _destination(self, _request: Request, id_: str) -> Reply:
        known = self.destinations.get(id_)
        if known is None:
            return _wrong(404, "NotFound_Destination", f"Cannot find destination with id '{id_}'")
        return self._said(
            {
                "id": id_,
                "group_id": id_,
                "service": known["service"],
                "region": "US",
                "time_zone_offset": "0",
                "setup_status": "connected",
                "config": {"database": known["database"]} if known["database"] else {},
            }
        )

    def _list(self, request: Request, group_id: str = "") -> Reply:
        group_id = group_id or request.one("group_id")
        name = request.one("schema")
        shown = [
            self._shown(each)
            for each in self.connections.values()
            if (not group_id or each.group_id == group_id) and (not name or each.schema == name)
        ]
        return self._page(request, shown)

    def _details(self, _request: Request, id_: str) -> Reply:
        known = self.connections.get(id_)
        return self._said(self._shown(known)) if known else _unknown(id_)

    def _change(self, request: Request, id_: str) -> Reply:
        known = self.connections.get(id_)
        if known is None:
            return _unknown(id_)
        wanted: dict[str, Any] = request.body or {}
        known.schedule_type = wanted.get("schedule_type", known.schedule_type)
        if "paused" in wanted:
            known.paused = bool(wanted["paused"])
            known.running = None if known.paused else known.running
            known.sync_state = "paused" if known.paused else "scheduled"
        return self._said(self._shown(known, look=False), "Connection has been updated")

    def _shown(self, known: FivetranConnection, *, look: bool = True) -> dict[str, Any]:
        if look:
            self._look(known)
        return {
            "id": known.id,
            "group_id": known.group_id,
            "service": known.service,
            "service_version": 1,
            "schema": known.schema,
            "connected_by": "someone",
            "created_at": _CREATED,
            "succeeded_at": known.succeeded_at,
            "failed_at": known.failed_at,
            "paused": known.paused,
            "pause_after_trial": False,
            "sync_frequency": known.sync_frequency,
            "schedule_type": known.schedule_type,
            **({"daily_sync_time": known.daily_sync_time} if known.daily_sync_time else {}),
            "status": {
                "setup_state": known.setup_state,
                "sync_state": known.sync_state,
                "update_state": "on_schedule",
                "schema_status": "ready" if known.tables else "blocked_on_capture",
                "is_historical_sync": known.succeeded_at is None,
                **({"rescheduled_for": known.rescheduled_for} if known.rescheduled_for else {}),
                "tasks": known.tasks,
                "warnings": known.warnings,
            },
            "config": known.config,
            "setup_tests": [],
        }

    def _schemas(self, _request: Request, id_: str) -> Reply:
        known = self.connections.get(id_)
        if known is None or known.tables is None:
            return _wrong(404, "NotFound_SchemaConfig", f"No schema config for '{id_}'")
        schemas = {
            schema: {
                "name_in_destination": schema.lower(),
                "enabled": schema not in known.disabled,
                "tables": {
                    table: {
                        "name_in_destination": table.lower(),
                        "enabled": f"{schema}.{table}" not in known.disabled,
                        "enabled_patch_settings": {"allowed": True},
                        "sync_mode": "SOFT_DELETE",
                    }
                    for table in tables
                },
            }
            for schema, tables in known.tables.items()
        }
        body: dict[str, Any] = {
            "enable_new_by_default": True,
            "schema_change_handling": "ALLOW_ALL",
        }
        return self._said(body | ({"schemas": schemas} if schemas else {}))

    def _columns(self, _request: Request, id_: str, schema: str, table: str) -> Reply:
        known = self.connections.get(id_)
        columns = (known.tables or {}).get(schema, {}).get(table) if known else None
        if columns is None:
            return _wrong(404, "NotFound_Table", f"Cannot find table '{schema}.{table}'")
        shown = {
            column: {"name_in_destination": column.lower(), "enabled": True, "hashed": False}
            for column in columns
        }
        return self._said({"columns": shown})

    def _sync(self, request: Request, id_: str) -> Reply:
        known = self.connections.get(id_)
        if known is None:
            return _unknown(id_)
        if known.paused:
            return _wrong(409, "Conflict", "The connection is paused")
        if known.running is None or (request.body or {}).get("force"):
            self._begin(known, "sync")
        return self._said(None, "Sync has been successfully triggered")

    def _resync(self, request: Request, id_: str) -> Reply:
        known = self.connections.get(id_)
        if known is None:
            return _unknown(id_)
        wanted: dict[str, list[str]] = request.body or {}
        for schema, tables in wanted.items():
            for table in tables:
                if table not in (known.tables or {}).get(schema, {}):
                    return _wrong(404, "NotFound_Table", f"Cannot find '{schema}.{table}'")
        self._begin(known, f"resync {wanted}" if wanted else "resync")
        return self._said(None, "Re-sync has been triggered successfully")

    def _begin(self, known: FivetranConnection, what: str) -> None:
        known.begun.append(what)
        sync = known.script.popleft() if known.script else FivetranSync()
        known.running, known.looks_left = sync, sync.looks
        known.ends_at = time.monotonic() + sync.lasts_s
        known.sync_state, known.rescheduled_for = "syncing", None
        if sync.looks == 0 and sync.lasts_s == 0:
            self._end(known, sync.outcome)

    def _look(self, known: FivetranConnection) -> None:
        sync = known.running
        if sync is None:
            self._go_on(known)
            return
        known.looks_left -= 1
        if known.looks_left < 0 and time.monotonic() >= known.ends_at:
            self._end(known, sync.outcome)

    def _go_on(self, known: FivetranConnection) -> None:
        """What was rescheduled is due: Fivetran syncs by itself only on its own schedule."""
        due = known.rescheduled_for
        if due is None or known.paused or datetime.fromisoformat(due) > datetime.now(UTC):
            return
        known.sync_state, known.rescheduled_for = "scheduled", None
        if known.schedule_type == "auto":
            self._begin(known, "reschedule")

    def _end(self, known: FivetranConnection, outcome: str) -> None:
        sync = known.running or FivetranSync()
        if outcome == "endless":
            return
        known.running, known.sync_state = None, "scheduled"
        if outcome == "succeeded":
            known.succeeded_at, known.tasks = self._stamp(), []
        elif outcome == "failed":
            known.failed_at = self._stamp()
            known.tasks = [{"code": "reconnect", "message": sync.message}]
        else:
            known.sync_state = "rescheduled"
            due = datetime.now(UTC) + timedelta(seconds=sync.rescheduled_s)
            known.rescheduled_for = _text(due)

    def _stamp(self) -> str:
        """Now, and later than any time that was said before."""
        step = self._last_stamp + timedelta(milliseconds=1)
        self._last_stamp = max(datetime.now(UTC), step)
        return _text(self._last_stamp)


_CREATED = "2025-01-01T00:00:00.000000Z"


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _wrong(status: int, code: str, message: str) -> Reply:
    return Reply({"code": code, "message": message}, status)


def _unknown(id_: str) -> Reply:
    return _wrong(404, "NotFound_Connection", f"Cannot find connection with id '{id_}'")
