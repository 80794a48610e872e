"""Talk to the two APIs of Airbyte. Knows nothing of Dagster.

One `AirbyteClient` per workspace; safe to share between threads. The public API
(https://reference.airbyte.com) does most; what it lacks, the Configuration API has.
"""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from dagweave._kernel.budget import RateBudget
from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.errors import InvalidInput, Refused, Unavailable
from dagweave._kernel.http import HttpClient
from dagweave.airbyte.models import (
    AirbyteConnection,
    AirbyteDestination,
    AirbyteJob,
    AirbyteWorkspaceData,
    JobRead,
    WireConnection,
    WireDestination,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

T = TypeVar("T")

CLOUD_REST_URL: Final = "https://api.airbyte.com/v1"
CLOUD_CONFIGURATION_URL: Final = "https://cloud.airbyte.com/api/v1"
# A token is renewed when this part of its life is over.
_TOKEN_LIFE: Final = 0.8


@dataclass(frozen=True)
class Credentials:
    """Who asks: a client with its secret, a user with a password, or nobody.

    Raises:
        InvalidInput: One half is missing, or there are two of them.
    """

    client_id: str | None = None
    client_secret: str | None = None
    username: str | None = None
    password: str | None = None

    def __post_init__(self) -> None:
        pairs = {
            "client_id and client_secret": (self.client_id, self.client_secret),
            "username and password": (self.username, self.password),
        }
        for names, (one, other) in pairs.items():
            if (one is None) != (other is None):
                raise InvalidInput(f"Airbyte takes {names} together; one of them is missing.")
        if self.client_id is not None and self.username is not None:
            raise InvalidInput(
                "Airbyte takes either client_id and client_secret, or username and password.",
                remedy="Leave one of the two pairs out.",
            )

    def __repr__(self) -> str:
        return "Credentials(...)"


class AirbyteClient:
    """The APIs of one workspace.

    Args:
        configuration_api_base_url: Without it, only the public API is used: no types of columns,
            no rows by stream, no reasons of failures, no resync.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        workspace_id: str,
        rest_api_base_url: str = CLOUD_REST_URL,
        configuration_api_base_url: str | None = CLOUD_CONFIGURATION_URL,
        attempts: int = 4,
        first_pause_s: float = 0.25,
        timeout_s: float = 15.0,
        page_size: int = 100,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.workspace_id = workspace_id
        self._credentials = credentials
        self._page_size = min(max(page_size, 1), 100)
        self._clock = clock
        self._token: str | None = None
        self._token_until = 0.0
        self._token_lock = threading.Lock()
        secrets = tuple(filter(None, (credentials.client_secret, credentials.password)))
        budget = RateBudget(clock=clock)

        def http(url: str, *, signed: bool) -> HttpClient:
            return HttpClient(
                url.rstrip("/"),
                "Airbyte",
                timeout_s=timeout_s,
                attempts=attempts,
                clock=clock,
                first_pause_s=first_pause_s,
                headers=self._headers if signed else None,
                secrets=secrets,
                budget=budget,
            )

        self._unsigned = http(rest_api_base_url, signed=False)
        self.rest = http(rest_api_base_url, signed=True)
        given = configuration_api_base_url
        self.configuration = http(given, signed=True) if given else None

    def workspace(self) -> AirbyteWorkspaceData:
        """All of the workspace, in a request for all connections and one per hundred destinations.

        Without the Configuration API, in one per hundred connections as well.
        """
        if self.configuration is None:
            connections = list(self.connections())
        else:
            body = {"workspaceId": self.workspace_id}
            found = self._configured("/connections/list", body, _Connections)
            connections = [each.connection() for each in found.connections]
        return AirbyteWorkspaceData(
            connections_by_id={each.id: each for each in connections},
            destinations_by_id={each.id: each for each in self.destinations()},
        )

    def connections(self) -> Iterator[AirbyteConnection]:
        """All connections, as the public API tells them."""
        params = {"workspaceIds": self.workspace_id}
        for each in self._paged("/connections", WireConnection, params):
            yield each.connection()

    def connection(self, connection_id: str) -> AirbyteConnection:
        """One connection, with the types of its columns if the Configuration API is there.

        Raises:
            Refused: There is none of this id (status 404).
        """
        if self.configuration is not None:
            body = {"connectionId": connection_id}
            return self._configured("/connections/get", body, WireConnection).connection()
        return self.status_of(connection_id)

    def status_of(self, connection_id: str) -> AirbyteConnection:
        """One connection, as the public API tells it."""
        path = f"/connections/{_part(connection_id)}"
        return self._rest("GET", path, WireConnection).connection()

    def destinations(self) -> Iterator[AirbyteDestination]:
        """All destinations."""
        params = {"workspaceIds": self.workspace_id}
        for each in self._paged("/destinations", WireDestination, params):
            yield each.destination()

    def destination(self, destination_id: str) -> AirbyteDestination | None:
        """One destination; `None` if it may not be seen."""
        try:
            path = f"/destinations/{_part(destination_id)}"
            return self._rest("GET", path, WireDestination).destination()
        except Refused as error:
            if error.status not in (403, 404):
                raise
            return None

    def jobs(self, **params: str) -> Iterator[AirbyteJob]:
        """The jobs of the workspace, as the API's parameters select and order them."""
        yield from self._paged("/jobs", AirbyteJob, {"workspaceIds": self.workspace_id, **params})

    def job(self, job_id: str) -> AirbyteJob:
        """One job."""
        return self._rest("GET", f"/jobs/{_part(job_id)}", AirbyteJob)

    def job_details(self, job_id: str) -> JobRead | None:
        """One job with its attempts; `None` without the Configuration API."""
        if self.configuration is None:
            return None
        return self._configured("/jobs/get", {"id": int(job_id)}, JobRead)

    def start(self, connection_id: str, kind: str = "sync") -> AirbyteJob:
        """Begin a job.

        Raises:
            Refused: One runs already (status 409).
        """
        body = {"connectionId": connection_id, "jobType": kind}
        return self._rest("POST", "/jobs", AirbyteJob, body)

    def refresh(
        self, connection_id: str, streams: Sequence[Mapping[str, str]], *, truncate: bool
    ) -> None:
        """Begin to load the history of these streams again, or of all."""
        body = {
            "connectionId": connection_id,
            "refreshMode": "Truncate" if truncate else "Merge",
            **({"streams": list(streams)} if streams else {}),
        }
        self._configured("/connections/refresh", body, dict[str, Any])

    def clear(self, connection_id: str, streams: Sequence[Mapping[str, str]]) -> None:
        """Begin to remove what is in the tables of these streams, or of all."""
        path = "/connections/clear/stream" if streams else "/connections/clear"
        body = {"connectionId": connection_id, **({"streams": list(streams)} if streams else {})}
        self._configured(path, body, dict[str, Any])

    def cancel(self, job_id: str) -> None:
        """Stop a job; one that has ended already is left as it is."""
        try:
            self._rest("DELETE", f"/jobs/{_part(job_id)}", AirbyteJob)
        except Refused as error:
            if error.status != 409:
                raise

    def activate(self, connection_id: str) -> None:
        """Let a connection that is inactive sync again."""
        body = {"status": "active"}
        self._rest("PATCH", f"/connections/{_part(connection_id)}", WireConnection, body)

    def _paged(self, path: str, kind: type[T], params: Mapping[str, str]) -> Iterator[T]:
        offset = "0"
        seen: set[str] = set()
        while offset not in seen:
            seen.add(offset)
            paging = {"limit": str(self._page_size), "offset": offset}
            page = self._rest("GET", path, _page_of(kind), None, {**params, **paging})
            yield from page.data
            # Its host may be that of an inner server: only the query counts.
            following = dict(parse_qsl(urlsplit(page.next or "").query))
            if len(page.data) < self._page_size or "offset" not in following:
                return
            offset = following["offset"]

    def _rest(
        self,
        method: str,
        path: str,
        kind: Any,
        body: object = None,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        return self._asked(self.rest, method, path, kind, body, params)

    def _configured(self, path: str, body: object, kind: type[T]) -> T:
        if self.configuration is None:
            raise InvalidInput(
                f"Airbyte's Configuration API is needed for {path}, and is not to be used.",
                remedy="Give configuration_api_base_url, and leave public_api_only out.",
            )
        try:
            return self._asked(self.configuration, "POST", path, kind, body, None)
        except Refused as error:
            if error.status != 404 or "onnection " in (error.seen or ""):
                raise
            raise Refused(
                f"Airbyte has no POST {path} at {self.configuration.base_url}.",
                seen=error.seen,
                remedy="Look at configuration_api_base_url; or do without that API: "
                "public_api_only=True.",
                status=404,
            ) from error

    def _asked(
        self,
        http: HttpClient,
        method: str,
        path: str,
        kind: Any,
        body: object,
        params: Mapping[str, str] | None,
    ) -> Any:
        token = self._token
        try:
            answer = http.request(method, path, params=params, json=body)
        except Refused as error:
            if error.status != 401 or token is None or token != self._token:
                raise
            # An old token may have been withdrawn; a new one is refused for good.
            self._token = None
            answer = http.request(method, path, params=params, json=body)
        try:
            return msgspec.json.decode(answer.content or b"{}", type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Unavailable(
                f"Airbyte answered {method} {path} with something that is not its own.",
                seen=str(error),
                remedy=f"Check that {http.base_url} is the address of Airbyte's API.",
            ) from error

    def _headers(self) -> Mapping[str, str]:
        common = {"Accept": "application/json", "User-Agent": "dagweave"}
        given = self._credentials
        if given.username is not None:
            pair = base64.b64encode(f"{given.username}:{given.password}".encode()).decode()
            return {**common, "Authorization": f"Basic {pair}"}
        if given.client_id is None:
            return common
        return {**common, "Authorization": f"Bearer {self._valid_token()}"}

    def _valid_token(self) -> str:
        with self._token_lock:
            if self._token is None or self._clock.monotonic() >= self._token_until:
                given = self._credentials
                body = {"client_id": given.client_id, "client_secret": given.client_secret}
                answer = self._unsigned.request("POST", "/applications/token", json=body)
                found = msgspec.json.decode(answer.content, type=_Token)
                self._token = found.access_token
                self._token_until = self._clock.monotonic() + found.expires_in * _TOKEN_LIFE
            return self._token


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float = 180.0


class _Connections(msgspec.Struct):
    connections: list[WireConnection] = []


_pages: dict[Any, Any] = {}


def _page_of(kind: Any) -> Any:
    if kind not in _pages:
        fields: list[Any] = [("data", list[kind], []), ("next", str | None, None)]
        _pages[kind] = msgspec.defstruct(f"Page{kind.__name__}", fields)
    return _pages[kind]


def _part(name: str) -> str:
    return quote(name, safe="")
