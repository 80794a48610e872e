"""Stores with the faults that the contract is there to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dagweave.duckdb.connections import database_at
from dagweave.duckdb.store import DuckDBStore
from dagweave.testing.warehouse_contract import MONDAY, Warehouse, WarehouseContract
from dagweave.testing.write_modes_contract import WriteModesContract
from dagweave.warehouse.capabilities import all_but, never
from dagweave.warehouse.plan import Mode, Outside, ReadPlan, WritePlan


@dataclass
class Broken:
    """DuckDB's store, in which one thing is done wrong."""

    good: DuckDBStore

    def __getattr__(self, name: str) -> Any:
        return getattr(self.good, name)


class ForgetsThePartition(Broken):
    def write(self, plan: WritePlan, stream: Any) -> Any:
        return self.good.write(replace(plan, slice=None), stream)


class DeletesFirst(Broken):
    """The fault of the official package: the rows are gone before the new ones are in."""

    def write(self, plan: WritePlan, stream: Any) -> Any:
        with self.good.emptied(plan):
            pass
        return self.good.write(plan, stream)


class GoesByPosition(Broken):
    def write(self, plan: WritePlan, stream: Any) -> Any:
        if columns := self.good.describe(plan.table):
            stream = (
                stream.read_all().rename_columns([column.name for column in columns]).to_reader()
            )
        return self.good.write(plan, stream)


class ReadsAllPartitions(Broken):
    @contextmanager
    def read(self, plan: ReadPlan, *, shared: bool = False) -> Iterator[Any]:
        with self.good.read(replace(plan, slice=None), shared=shared) as stream:
            yield stream


class KeepsWhatAnotherWriterLeft(Broken):
    @contextmanager
    def emptied(self, plan: WritePlan) -> Iterator[Any]:
        with self.good.emptied(plan):
            pass
        with self.good.connected() as session:
            yield session


class ForgetsTheRun(Broken):
    def write(self, plan: WritePlan, stream: Any) -> Any:
        return self.good.write(replace(plan, once=()), stream)


class AddsWhereItShouldMerge(Broken):
    def write(self, plan: WritePlan, stream: Any) -> Any:
        mode = Mode.APPEND if plan.mode is Mode.MERGE else plan.mode
        return self.good.write(replace(plan, mode=mode), stream)


class WritesWhatShouldBeLeftOut(Broken):
    def write(self, plan: WritePlan, stream: Any) -> Any:
        return self.good.write(replace(plan, outside=Outside.WARN), stream)


class DeclaresLessThanItDoes(Broken):
    @property
    def capabilities(self) -> Any:
        return all_but(MERGE=never("It is not meant to."))


CONTRACT = WarehouseContract()
MODES = WriteModesContract()


@pytest.mark.parametrize(
    ("fault", "finds_it"),
    [
        (
            ForgetsThePartition,
            CONTRACT.test_replacing_one_partition_leaves_the_others_untouched,
        ),
        (
            DeletesFirst,
            lambda warehouse: CONTRACT.test_a_stream_that_breaks_off_changes_nothing(
                warehouse, MONDAY
            ),
        ),
        (
            DeletesFirst,
            lambda warehouse: (
                CONTRACT.test_a_partition_whose_columns_do_not_fit_is_refused_and_nothing_changes(
                    warehouse, {"day": "2026-01-05"}, "n"
                )
            ),
        ),
        (
            GoesByPosition,
            CONTRACT.test_columns_in_another_order_go_where_their_names_say,
        ),
        (ForgetsThePartition, CONTRACT.test_to_replace_no_partitions_deletes_nothing),
        (ReadsAllPartitions, CONTRACT.test_no_partitions_are_no_rows_with_columns),
        (
            KeepsWhatAnotherWriterLeft,
            CONTRACT.test_an_error_in_another_writer_brings_the_rows_back,
        ),
        (ForgetsTheRun, MODES.test_an_append_that_is_tried_again_adds_its_rows_once),
        (
            AddsWhereItShouldMerge,
            MODES.test_merged_rows_update_those_with_their_keys_and_add_the_others,
        ),
        (
            WritesWhatShouldBeLeftOut,
            lambda warehouse: MODES.test_rows_of_another_partition_may_be_refused_or_left_out(
                warehouse, there=True
            ),
        ),
        (DeclaresLessThanItDoes, MODES.test_a_merge_by_all_columns_adds_what_is_new),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_contract_finds_a_fault(
    tmp_path: Path, fault: type[Broken], finds_it: Callable[[Warehouse], None]
) -> None:
    store = DuckDBStore(database_at(str(tmp_path / "contract.duckdb")))
    finds_it(Warehouse(store, schema="good"))

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        finds_it(Warehouse(fault(store), schema="broken"))
