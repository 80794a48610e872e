"""Talk to the REST API of Fivetran. Knows nothing of Dagster.

One `FivetranClient` per account; safe to share between threads. https://fivetran.com/docs/rest-api
"""

from __future__ import annotations

import base64
import hashlib
import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from dagweave._kernel.budget import RateBudget
from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.errors import Refused, Unavailable
from dagweave._kernel.gather import gather
from dagweave._kernel.http import HttpClient
from dagweave.fivetran.models import (
    FivetranConnector,
    FivetranDestination,
    FivetranSchemaConfig,
    FivetranWorkspaceData,
    WireConnection,
    WireDestination,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

T = TypeVar("T")

BASE_URL: Final = "https://api.fivetran.com"
_PAGE: Final = 1000
_THREADS: Final = 24
_PAUSE_PATIENCE_S: Final = 60.0

_log = logging.getLogger("dagweave.fivetran")
_budgets: dict[str, RateBudget] = {}


class _Columns(msgspec.Struct):
    columns: dict[str, Any] = {}


class _Page(msgspec.Struct):
    items: list[WireConnection]
    next_cursor: str | None = None
    nextCursor: str | None = None  # noqa: N815 -- as some answers spell it


class FivetranClient:
    """The API of one account.

    Args:
        base_url: Where the API is, without the version.
        attempts: How often a request is made at most, the first one included.
    """

    def __init__(
        self,
        api_key: str,
        api_secret: str,
        *,
        base_url: str = BASE_URL,
        attempts: int = 4,
        first_pause_s: float = 0.25,
        pause_factor: float = 2.0,
        timeout_s: float = 60.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        token = base64.b64encode(f"{api_key}:{api_secret}".encode()).decode()
        headers = {
            "Authorization": f"Basic {token}",
            "Accept": "application/json;version=2",
            "User-Agent": "dagweave",
        }
        self.clock = clock
        self.http = HttpClient(
            base_url.rstrip("/") + "/v1",
            "Fivetran",
            timeout_s=timeout_s,
            attempts=attempts,
            clock=clock,
            first_pause_s=first_pause_s,
            pause_factor=pause_factor,
            headers=lambda: headers,
            secrets=(api_secret, token, api_key),
            budget=_budget(f"{base_url} {api_key}", clock),
            connections=_THREADS,
        )

    def workspace(self) -> FivetranWorkspaceData:
        """All of the account: its connections, their destinations and tables.

        One request for a thousand connections, one per destination, one per connection.
        """
        connectors = {each.id: each for each in self.connections()}
        groups = dict.fromkeys(each.group_id for each in connectors.values())
        destinations = gather(self.destination, groups, threads=_THREADS)
        configs = gather(self.schemas, connectors, threads=_THREADS)
        return FivetranWorkspaceData(
            connectors_by_id=connectors,
            destinations_by_id={each.id: each for each in destinations if each},
            schema_configs_by_connector_id=dict(zip(connectors, configs, strict=True)),
        )

    def connections(self) -> Iterator[FivetranConnector]:
        """All connections of the account, with how they are.

        Raises:
            Unavailable: A page refers to itself, so that there would be no end.
        """
        seen: set[str] = set()
        cursor = ""
        while True:
            params = {"limit": str(_PAGE), **({"cursor": cursor} if cursor else {})}
            page = self._get("/connections", _Page, params=params)
            for each in page.items:
                yield each.connector()
            cursor = page.next_cursor or page.nextCursor or ""
            if not cursor:
                return
            if cursor in seen:
                raise Unavailable(
                    "Fivetran's list of connections has no end.",
                    seen=f"The cursor {cursor!r} came twice.",
                    remedy="Try again; if it stays so, tell Fivetran's support.",
                )
            seen.add(cursor)

    def connection(self, connector_id: str) -> FivetranConnector:
        """One connection, with how it is.

        Raises:
            Refused: There is none of this id (status 404).
        """
        return self._get(f"/connections/{_part(connector_id)}", WireConnection).connector()

    def destination(self, destination_id: str) -> FivetranDestination | None:
        """Where the connections of a group write to; `None` if the key may not see it."""
        try:
            found = self._get(f"/destinations/{_part(destination_id)}", WireDestination)
        except Refused as error:
            if error.status not in (403, 404):
                raise
            _log.warning("The database of the group %s is not known. %s", destination_id, error)
            return None
        return found.destination()

    def schemas(self, connector_id: str) -> FivetranSchemaConfig:
        """What a connection syncs; nothing before its first sync."""
        try:
            return self._get(f"/connections/{_part(connector_id)}/schemas", FivetranSchemaConfig)
        except Refused as error:
            if error.status != 404:
                raise
            return FivetranSchemaConfig()

    def columns(self, connector_id: str, schema: str, table: str) -> Mapping[str, Any]:
        """The columns of a table. The names are those of the source; Fivetran asks it."""
        path = f"/connections/{_part(connector_id)}/schemas/{_part(schema)}/tables/{_part(table)}"
        return self._get(f"{path}/columns", _Columns).columns

    def sync(self, connector_id: str) -> None:
        """Begin a sync; if one runs, it goes on."""
        self._send("POST", f"/connections/{_part(connector_id)}/sync", {"force": False})

    def resync(self, connector_id: str, tables: Mapping[str, Sequence[str]] | None = None) -> None:
        """Load the history again, of all tables or of these tables by schema."""
        path = "/schemas/tables/resync" if tables else "/resync"
        body = dict(tables) if tables else None
        self._send("POST", f"/connections/{_part(connector_id)}{path}", body)

    def change(self, connector_id: str, **values: object) -> None:
        """Change a connection: `paused`, `schedule_type`."""
        self._send("PATCH", f"/connections/{_part(connector_id)}", values)

    def stop(self, connector_id: str) -> None:
        """Stop the sync that runs, and let the connection sync again, if it was not paused before.

        Fivetran has no call for it: the documented way is to pause, and to wait until it is paused.
        """
        was_paused = self.connection(connector_id).paused
        self.change(connector_id, paused=True)
        until = self.clock.monotonic() + _PAUSE_PATIENCE_S
        while self.connection(connector_id).sync_state != "paused":
            if self.clock.monotonic() > until:
                break
            self.clock.sleep(1.0)
        if not was_paused:
            self.change(connector_id, paused=False)

    def _get(self, path: str, kind: type[T], *, params: Mapping[str, str] | None = None) -> T:
        answer = self.http.request("GET", path, params=params)
        try:
            return msgspec.json.decode(answer.content, type=_envelope(kind)).data
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unavailable(
                f"Fivetran answered GET {path} with something that is not its own.",
                seen=str(error),
                remedy=f"Check that {self.http.base_url} is the address of Fivetran's API.",
            ) from error

    def _send(self, method: str, path: str, body: object) -> None:
        self.http.request(method, path, json=body)


def _envelope(kind: type[T]) -> Any:
    if kind not in _envelopes:
        _envelopes[kind] = msgspec.defstruct(f"Answer{kind.__name__}", [("data", kind)])
    return _envelopes[kind]


_envelopes: dict[type, Any] = {}


def _budget(account: str, clock: Clock) -> RateBudget:
    """The one budget of an account in this process; one of its own where time is made up."""
    if clock is not SYSTEM_CLOCK:
        return RateBudget(clock=clock)
    return _budgets.setdefault(hashlib.sha256(account.encode()).hexdigest(), RateBudget())


def _part(name: str) -> str:
    return quote(name, safe="")
