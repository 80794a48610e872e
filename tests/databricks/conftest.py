"""Databricks as an emulator: one server for the session, one catalog per test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from databricks.sdk import WorkspaceClient

from emulators import running
from emulators.at_databricks import Emulator


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    with running("databricks") as at:
        workspace = WorkspaceClient(host=at["host"], token=at["token"], auth_type="pat")
        warehouse = workspace.warehouses.create(name="tests").response
        yield Emulator(at["host"], at["token"], at["dbfs"], warehouse.id, workspace)


@pytest.fixture
def catalog(emulator: Emulator) -> Iterator[str]:
    """A catalog of the test's own."""
    name = f"c_{uuid.uuid4().hex[:12]}"
    emulator.workspace.catalogs.create(name=name)
    yield name
    emulator.workspace.catalogs.delete(name, force=True)


@pytest.fixture
def query(emulator: Emulator) -> Callable[[str], list[list[str]]]:
    """Ask Databricks by its own SDK alone."""

    def ask(sql: str) -> list[list[str]]:
        done = emulator.workspace.statement_execution.execute_statement(sql, emulator.warehouse_id)
        assert done.result is not None, done.status
        return done.result.data_array or []

    return ask
