"""Snowflake keeps the contract of warehouses, as far as its emulator can show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dagweave.snowflake.arguments import for_connector
from dagweave.snowflake.connections import Connections
from dagweave.snowflake.store import SnowflakeStore
from dagweave.testing.warehouse_contract import Warehouse, WarehouseContract
from dagweave.testing.write_modes_contract import WriteModesContract


@pytest.fixture(scope="module")
def pool() -> Iterator[Connections]:
    made = Connections()
    yield made
    made.close()


@pytest.fixture
def warehouse(settings: dict[str, Any], pool: Connections) -> Warehouse:
    arguments = for_connector({**settings, "schema": None})
    return Warehouse(SnowflakeStore(settings["database"], arguments, pool))


class TestSnowflake(WarehouseContract, WriteModesContract):
    """Each test has a database of its own."""
