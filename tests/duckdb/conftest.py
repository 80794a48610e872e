from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The path of a DuckDB file that does not exist yet."""
    return str(tmp_path / "dev.duckdb")


@pytest.fixture
def query(database: str) -> Callable[[str], list[Any]]:
    """Ask the database with DuckDB itself, past all of ours."""
    import duckdb

    def ask(sql: str) -> list[Any]:
        with duckdb.connect(database) as connection:
            return connection.execute(sql).fetchall()

    return ask
