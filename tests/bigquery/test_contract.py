"""BigQuery's store keeps what every warehouse promises."""

from __future__ import annotations

from typing import Any

import pytest

from dagweave.bigquery.connections import Settings
from dagweave.bigquery.store import BigQueryStore
from dagweave.testing.warehouse_contract import Warehouse, WarehouseContract
from dagweave.testing.write_modes_contract import WriteModesContract


class TestBigQuery(WarehouseContract, WriteModesContract):
    @pytest.fixture
    def warehouse(self, settings: dict[str, Any]) -> Warehouse:
        return Warehouse(BigQueryStore(Settings(**settings)))
