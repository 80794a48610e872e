"""One Arrow-first layer of tables for all databases: plan a write, and let a store carry it out."""

from __future__ import annotations

from dagweave._dagster.private import DbTypeHandler, TablePartitionDimension, TableSlice
from dagweave.warehouse.io_manager import WarehouseIOManager
from dagweave.warehouse.plan import Mode, Outside, ReadPlan, Receipt, SchemaPolicy, WritePlan
from dagweave.warehouse.slices import Keys, Slice, Windows
from dagweave.warehouse.sql import Dialect
from dagweave.warehouse.store import Query, TableStore

__all__ = [
    "DbTypeHandler",
    "Dialect",
    "Keys",
    "Mode",
    "Outside",
    "Query",
    "ReadPlan",
    "Receipt",
    "SchemaPolicy",
    "Slice",
    "TablePartitionDimension",
    "TableSlice",
    "TableStore",
    "WarehouseIOManager",
    "Windows",
    "WritePlan",
]
