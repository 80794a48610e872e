"""Databricks keeps the contract of warehouses, as far as the emulator is Databricks."""

from __future__ import annotations

import pytest

from dagweave.databricks.store import DatabricksStore
from dagweave.databricks.workspace import Login
from dagweave.testing.warehouse_contract import Warehouse, WarehouseContract
from dagweave.testing.write_modes_contract import WriteModesContract
from emulators.at_databricks import Emulator


@pytest.mark.xdist_group("databricks")
class TestDatabricks(WarehouseContract, WriteModesContract):
    @pytest.fixture
    def warehouse(self, emulator: Emulator, catalog: str) -> Warehouse:
        login = Login(emulator.host, emulator.token)
        return Warehouse(DatabricksStore(login, emulator.warehouse_id, catalog))
