"""Snowflake as an emulator: one server for the session, one database per test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import snowflake.connector

from dagweave.snowflake import SnowflakeResource
from emulators import running


@pytest.fixture(scope="session")
def server() -> Iterator[dict[str, Any]]:
    """Where the emulator is: host, port, protocol."""
    with running("snowflake") as at:
        yield at


@pytest.fixture
def settings(server: dict[str, Any]) -> dict[str, Any]:
    """What a resource needs to reach a database of the test's own."""
    return {
        "account": "acme-test",
        "user": "loader",
        "password": "a-secret-to-look-for",
        "database": f"DB_{uuid.uuid4().hex[:12].upper()}",
        "schema": "PUBLIC",
        "base_url": "{protocol}://{host}:{port}".format(**server),
        # The emulator answers what it cannot do with a 500, which is tried again that long.
        "network_timeout": 1,
        "login_timeout": 20,
    }


@pytest.fixture
def resource(settings: dict[str, Any]) -> SnowflakeResource:
    return SnowflakeResource(**settings)


@pytest.fixture
def rows(settings: dict[str, Any], server: dict[str, Any]) -> Any:
    """Ask the emulator, by Snowflake's own connector alone."""
    names = ("account", "user", "password", "database", "schema", "network_timeout")

    def ask(sql: str) -> list[tuple[Any, ...]]:
        own = {name: settings[name] for name in names}
        with snowflake.connector.connect(**own, **server) as connection:
            return connection.cursor().execute(sql).fetchall()

    return ask
