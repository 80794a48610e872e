"""DuckDB keeps the contract of warehouses; and the contract catches who does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagweave.duckdb.connections import database_at
from dagweave.duckdb.store import DuckDBStore
from dagweave.testing.warehouse_contract import Warehouse, WarehouseContract
from dagweave.testing.write_modes_contract import WriteModesContract


class TestDuckDBFile(WarehouseContract, WriteModesContract):
    @pytest.fixture
    def warehouse(self, tmp_path: Path) -> Warehouse:
        return Warehouse(DuckDBStore(database_at(str(tmp_path / "contract.duckdb"))))


class TestDuckDBInMemory(WarehouseContract, WriteModesContract):
    @pytest.fixture
    def warehouse(self) -> Warehouse:
        return Warehouse(DuckDBStore(database_at(":memory:")))
