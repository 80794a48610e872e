"""Databricks as an emulator: one server for the session, one catalog per test."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.workspace import ImportFormat, Language

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


@pytest.fixture
def script(emulator: Emulator) -> Callable[[str], dict[str, Any]]:
    """Put a script into the workspace; the task that runs it."""

    def put(text: str) -> dict[str, Any]:
        path = f"/Shared/script_{uuid.uuid4().hex}.py"
        emulator.workspace.workspace.import_(
            path,
            content=base64.b64encode(text.encode()).decode(),
            format=ImportFormat.SOURCE,
            language=Language.PYTHON,
            overwrite=True,
        )
        return {"new_cluster": {"num_workers": 1}, "spark_python_task": {"python_file": path}}

    return put
