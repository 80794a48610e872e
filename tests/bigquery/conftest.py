"""BigQuery as an emulator: one server for the session, one project per test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from emulators import running


@pytest.fixture(scope="session")
def server() -> Iterator[dict[str, Any]]:
    """Where the emulator is: the url of its REST interface."""
    with running("bigquery") as at:
        yield at


@pytest.fixture
def project() -> str:
    """A project of the test's own."""
    return f"p-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def settings(server: dict[str, Any], project: str) -> dict[str, Any]:
    """What a resource needs to reach the project."""
    return {"project": project, "base_url": server["url"]}


@pytest.fixture
def client(settings: dict[str, Any]) -> Iterator[bigquery.Client]:
    """Google's client alone, past all of ours."""
    with bigquery.Client(
        project=settings["project"],
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": settings["base_url"]},
    ) as client:
        yield client


@pytest.fixture
def rows(client: bigquery.Client) -> Callable[[str], list[tuple[Any, ...]]]:
    """Ask the emulator."""

    def ask(sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in client.query(sql).result()]

    return ask
