"""Clients of BigQuery, one for all who come with the same settings. Knows nothing of Dagster."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.extras import installed, require
from dagweave.bigquery.credentials import (
    BASE_URL_VARIABLE,
    address,
    anonymous,
    credentials_of,
    default_credentials,
    is_open,
    secrets_of,
)
from dagweave.bigquery.dialect import as_labels
from dagweave.bigquery.failures import translated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType


REQUEST_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How BigQuery is reached; what a resource and an I/O manager have in common."""

    project: str | None = None
    location: str | None = None
    gcp_credentials: str | None = field(default=None, repr=False)
    base_url: str | None = None

    @property
    def secrets(self) -> list[str]:
        """What may not be shown of them."""
        return secrets_of(self.gcp_credentials)


@dataclass(frozen=True, slots=True)
class Connection:
    """A client, and one of the Storage API, which is there only if its package is."""

    client: Any
    storage: Any = field(default=None, repr=False)


def connect(
    settings: Settings,
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    storage: bool = False,
) -> Connection:
    """Make clients.

    Args:
        settings: How BigQuery is reached.
        labels: What jobs are labelled with, unless they say it themselves.
        options: More options of Google's client.
        storage: Whether there shall be a client of the Storage API, too.

    Raises:
        InvalidInput: The credentials or the address cannot be read.
        Refused: There are no credentials.
        MissingExtra: The libraries of the extra `bigquery` are not installed.
    """
    bigquery = bigquery_module("BigQuery")
    url = address(settings.base_url)
    with translated("BigQuery cannot be reached.", settings.secrets):
        if is_open(url):
            credentials, project = anonymous(), None
        elif settings.gcp_credentials:
            credentials, project = credentials_of(settings.gcp_credentials)
        else:
            credentials, project = default_credentials()
        given = as_labels(labels or {})
        client = bigquery.Client(
            project=settings.project or project,
            credentials=credentials,
            location=settings.location,
            client_options={**({"api_endpoint": url} if url else {}), **(options or {})},
            client_info=_client_info(),
            default_query_job_config=bigquery.QueryJobConfig(labels=given),
            default_load_job_config=bigquery.LoadJobConfig(labels=given),
        )
    return Connection(client, _storage(credentials) if storage and not url else None)


_SHARED: dict[tuple[Settings, str], Connection] = {}
_LOCK = threading.Lock()


def shared(
    settings: Settings,
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    storage: bool = False,
) -> Connection:
    """The clients of this process for some settings: one login for many inputs and outputs.

    Raises:
        InvalidInput, Refused, MissingExtra: As `connect`.
    """
    key = settings, repr((labels, options, storage, os.environ.get(BASE_URL_VARIABLE)))
    with _LOCK:
        if key not in _SHARED:
            _SHARED[key] = connect(settings, labels, options, storage=storage)
        return _SHARED[key]


def close(connection: Connection) -> None:
    """Give back what clients hold."""
    connection.client.close()
    if connection.storage is not None:
        connection.storage.transport.close()


def bigquery_module(what: str) -> ModuleType:
    """Import Google's client.

    Raises:
        MissingExtra: It is not installed.
    """
    return require("google.cloud.bigquery", extra="bigquery", what=what)


def retry() -> Any:
    """How Google's client tries a request again that does no harm twice: for at most a minute.

    Left to itself it does so for ten.
    """
    return require(
        "google.cloud.bigquery.retry", extra="bigquery", what="BigQuery"
    ).DEFAULT_RETRY.with_timeout(REQUEST_S)


def _storage(credentials: Any) -> Any:
    """A client of the Storage API, which reads many times as fast; `None` without its package."""
    if not _has_storage():
        return None
    storage = require("google.cloud.bigquery_storage", extra="bigquery", what="The Storage API")
    return storage.BigQueryReadClient(credentials=credentials)


def _has_storage() -> bool:
    try:
        return installed("google.cloud.bigquery_storage")
    except ModuleNotFoundError:
        return False


def _client_info() -> Any:
    """By this Google tells who comes."""
    info = require("google.api_core.client_info", extra="bigquery", what="BigQuery")
    return info.ClientInfo(user_agent="dagweave")
