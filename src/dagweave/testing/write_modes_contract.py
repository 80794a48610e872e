"""What every warehouse promises of the ways to write: modes, schema policies, rows outside.

Inherit `WriteModesContract` beside `WarehouseContract`, with the same fixture `warehouse`. A way
that an engine declares not to have must be refused, with the declared reason.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from dagweave._kernel.errors import InvalidInput, SchemaMismatch
from dagweave.testing.warehouse_contract import (
    MONDAY,
    NEW_YORK,
    TUESDAY,
    Partition,
    Warehouse,
    needs,
    window,
)
from dagweave.warehouse.arrow import pyarrow
from dagweave.warehouse.capabilities import Feature
from dagweave.warehouse.plan import Mode, Outside, SchemaPolicy
from dagweave.warehouse.statements import BOOK
from dagweave.warehouse.store import Query

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = [{"day": "2026-01-05", "n": 1}, {"day": "2026-01-06", "n": 2}]


class WriteModesContract:
    """The tests. A subclass gives the fixture `warehouse`."""

    def test_appended_rows_come_to_those_that_are_there(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", ROWS)

        with needs(warehouse, Feature.APPEND):
            receipt = warehouse.write("orders", [{"day": "x", "n": 3}], mode=Mode.APPEND)

        assert [row["n"] for row in warehouse.rows("orders")] == [1, 2, 3]
        assert (receipt.rows_written, receipt.rows_deleted) == (1, None)

    def test_an_append_makes_the_table_if_there_is_none(self, warehouse: Warehouse) -> None:
        with needs(warehouse, Feature.APPEND):
            warehouse.write("orders", ROWS, mode=Mode.APPEND, once=("run-1",))

        assert warehouse.rows("orders") == ROWS

    def test_an_append_that_is_tried_again_adds_its_rows_once(self, warehouse: Warehouse) -> None:
        with needs(warehouse, Feature.APPEND):
            warehouse.write("orders", ROWS, mode=Mode.APPEND, once=("run-1",))
        again = warehouse.write("orders", ROWS, mode=Mode.APPEND, once=("run-2", "run-1"))
        other = warehouse.write("orders", ROWS, mode=Mode.APPEND, once=("run-3",))
        elsewhere = warehouse.write("lines", ROWS, mode=Mode.APPEND, once=("run-1",))

        assert len(warehouse.rows("orders")) == 4
        assert (again.rows_written, bool(again.skipped)) == (0, True)
        assert (other.rows_written, elsewhere.rows_written) == (2, 2)
        assert [row["write_id"] for row in warehouse.rows(BOOK)] == [
            "run-1",
            "run-1",
            "run-2",
            "run-3",
        ]

    def test_an_append_that_fails_may_be_tried_again(self, warehouse: Warehouse) -> None:
        schema = pyarrow().schema([("day", pyarrow().string()), ("n", pyarrow().int64())])

        def broken() -> Iterator[Any]:
            yield pyarrow().RecordBatch.from_pylist(ROWS, schema)
            raise ValueError("broken off")

        stream = pyarrow().RecordBatchReader.from_batches(schema, broken())
        warehouse.replace("orders", ROWS)
        with needs(warehouse, Feature.APPEND), pytest.raises(Exception, match="broken off"):
            warehouse.write("orders", stream, mode=Mode.APPEND, once=("run-1",))

        warehouse.write("orders", ROWS, mode=Mode.APPEND, once=("run-1",))

        assert len(warehouse.rows("orders")) == 4

    def test_merged_rows_update_those_with_their_keys_and_add_the_others(
        self, warehouse: Warehouse
    ) -> None:
        warehouse.replace("orders", [{"id": 1, "n": 1}, {"id": 2, "n": 2}, {"id": None, "n": 0}])
        new = [{"id": 2, "n": 22}, {"id": 3, "n": 33}, {"id": None, "n": 9}]

        with needs(warehouse, Feature.MERGE):
            receipt = warehouse.write("orders", new, mode=Mode.MERGE, keys=("id",))

        pairs = [(row["id"], row["n"]) for row in warehouse.rows("orders")]
        assert pairs == [(1, 1), (2, 22), (3, 33), (None, 9)]
        assert receipt.rows_written == 3
        assert receipt.rows_updated in {2, None}

    def test_a_merge_deletes_what_is_gone_if_it_is_told_to(self, warehouse: Warehouse) -> None:
        rows = [{"day": "2026-01-05", "id": n, "n": n} for n in (1, 2)]
        warehouse.replace("orders", [*rows, {"day": "2026-01-06", "id": 3, "n": 3}])

        with needs(warehouse, Feature.DELETE_UNMATCHED):
            warehouse.write(
                "orders",
                [{"day": "2026-01-05", "id": 2, "n": 22}],
                MONDAY,
                mode=Mode.MERGE,
                keys=("id",),
                delete_unmatched=True,
            )

        assert [row["n"] for row in warehouse.rows("orders")] == [22, 3]

    def test_a_merge_by_all_columns_adds_what_is_new(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", ROWS)
        new = {"day": "2026-01-07", "n": 3}

        with needs(warehouse, Feature.MERGE):
            warehouse.write("orders", [*ROWS, new], mode=Mode.MERGE, keys=("day", "n"))

        assert warehouse.rows("orders") == [*ROWS, new]

    @pytest.mark.parametrize(
        ("rows", "keys", "seen"),
        [
            ([{"id": 1, "n": 1}, {"id": 1, "n": 2}], ("id",), "same keys"),
            ([{"id": 1, "n": 1}], ("key",), "'key'"),
            ([{"id": 1, "n": 1}], (), "merge_keys"),
        ],
        ids=["doubled", "unknown", "none"],
    )
    def test_a_merge_without_keys_that_tell_rows_apart_changes_nothing(
        self, warehouse: Warehouse, rows: Any, keys: tuple[str, ...], seen: str
    ) -> None:
        before = [{"id": 1, "n": 0}]
        warehouse.replace("orders", before)

        with needs(warehouse, Feature.MERGE), pytest.raises(InvalidInput, match=seen):
            warehouse.write("orders", rows, mode=Mode.MERGE, keys=keys)

        assert warehouse.rows("orders") == before

    def test_create_only_leaves_a_table_that_is_there(self, warehouse: Warehouse) -> None:
        with needs(warehouse, Feature.CREATE_ONLY):
            made = warehouse.write("orders", ROWS, mode=Mode.CREATE_ONLY)

        left = warehouse.write("orders", [{"other": 1}], mode=Mode.CREATE_ONLY)

        assert warehouse.rows("orders") == ROWS
        assert (made.skipped, made.rows_written) == (None, 2)
        assert (bool(left.skipped), left.rows_written) == (True, 0)

    def test_a_frame_without_rows_may_be_skipped(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", ROWS)
        nothing = pyarrow().Table.from_pylist(ROWS).slice(0, 0)

        skipped = warehouse.write("orders", nothing, mode=Mode.SKIP_IF_EMPTY)
        assert skipped.skipped
        assert warehouse.rows("orders") == ROWS

        warehouse.write("orders", ROWS[:1], mode=Mode.SKIP_IF_EMPTY)
        assert warehouse.rows("orders") == ROWS[:1]

    @pytest.mark.parametrize("part", [None, TUESDAY], ids=["table", "partition"])
    def test_new_columns_are_added_and_missing_ones_are_null(
        self, warehouse: Warehouse, part: Partition | None
    ) -> None:
        warehouse.replace("orders", [{"day": "2026-01-06", "n": 1, "old": 1.5}])
        rows = [{"day": "2026-01-06", "n": 2, "new": True}]

        with needs(warehouse, Feature.ADD_COLUMNS):
            receipt = warehouse.write("orders", rows, part, policy=SchemaPolicy.ADD_COLUMNS)

        assert warehouse.rows("orders") == [{"day": "2026-01-06", "n": 2, "old": None, "new": True}]
        assert receipt.difference.added == ("new",)

    def test_columns_become_as_wide_as_the_frame(self, warehouse: Warehouse) -> None:
        pa = pyarrow()
        before = pa.table(
            {
                "day": ["2026-01-05"],
                "n": pa.array([1], pa.int32()),
                "x": pa.array([1.5], pa.float32()),
                "d": pa.array([Decimal("1.50")], pa.decimal128(5, 2)),
            }
        )
        after = pa.table(
            {
                "day": ["2026-01-06"],
                "n": [2**40],
                "x": [0.1],
                "d": pa.array([Decimal("1234.123")], pa.decimal128(9, 3)),
            }
        )
        warehouse.replace("orders", before)

        with needs(warehouse, Feature.WIDEN):
            warehouse.write("orders", after, TUESDAY, policy=SchemaPolicy.WIDEN)

        assert [(row["n"], row["x"], row["d"]) for row in warehouse.rows("orders")] == [
            (1, 1.5, Decimal("1.500")),
            (2**40, 0.1, Decimal("1234.123")),
        ]

    def test_what_would_be_narrower_is_refused(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", ROWS)

        with (
            needs(warehouse, Feature.WIDEN),
            pytest.raises(SchemaMismatch, match=r"n .*int64.*string"),
        ):
            warehouse.write(
                "orders", [{"day": "x", "n": "one"}], TUESDAY, policy=SchemaPolicy.WIDEN
            )

        assert warehouse.rows("orders") == ROWS

    def test_a_strict_table_keeps_its_columns_even_if_it_is_replaced(
        self, warehouse: Warehouse
    ) -> None:
        warehouse.replace("orders", ROWS)

        with pytest.raises(SchemaMismatch, match="extra"):
            warehouse.write("orders", [{**ROWS[0], "extra": 1}], policy=SchemaPolicy.STRICT)
        warehouse.write("orders", ROWS[1:], policy=SchemaPolicy.STRICT)

        assert warehouse.rows("orders") == ROWS[1:]

    def test_a_partition_cannot_replace_the_columns_of_all(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", ROWS)

        with pytest.raises(InvalidInput, match="schema_policy 'replace'"):
            warehouse.write("orders", ROWS[:1], MONDAY, policy=SchemaPolicy.REPLACE)

        assert warehouse.rows("orders") == ROWS

    @pytest.mark.parametrize("there", [True, False], ids=["table", "no table"])
    def test_rows_of_another_partition_may_be_refused_or_left_out(
        self,
        warehouse: Warehouse,
        there: bool,  # noqa: FBT001 -- a parameter of the test
    ) -> None:
        if there:
            warehouse.replace("orders", ROWS)
        rows = [{"day": "2026-01-05", "n": 5}, {"day": "2026-01-06", "n": 6}]

        with pytest.raises(InvalidInput, match="1 of 2 rows"):
            warehouse.write("orders", rows, MONDAY, outside=Outside.REFUSE)
        if there:
            assert warehouse.rows("orders") == ROWS
        else:
            assert warehouse.store.describe(warehouse.table("orders")) is None

        with needs(warehouse, Feature.DROP_OUTSIDE):
            receipt = warehouse.write("orders", rows, MONDAY, outside=Outside.DROP)

        assert [row["n"] for row in warehouse.rows("orders", MONDAY)] == [5]
        assert (receipt.rows_written, receipt.rows_outside) == (1, 1)
        assert len(warehouse.rows("orders")) == (2 if there else 1)

    def test_rows_of_another_clock_are_left_out_by_the_window_too(
        self, warehouse: Warehouse
    ) -> None:
        five = dt.datetime(2026, 1, 5, 5, tzinfo=NEW_YORK)
        hours = [{"at": five + dt.timedelta(hours=n)} for n in range(-1, 3)]
        part = window("at", five, five + dt.timedelta(hours=1))

        with needs(warehouse, Feature.DROP_OUTSIDE):
            receipt = warehouse.write("events", hours, part, outside=Outside.DROP)

        assert [row["at"] for row in warehouse.rows("events")] == [five]
        assert receipt.rows_outside == 3

    @pytest.mark.parametrize("mode", [Mode.APPEND, Mode.MERGE])
    def test_rows_outside_are_counted_in_every_mode(self, warehouse: Warehouse, mode: Mode) -> None:
        warehouse.replace("orders", ROWS)
        rows = [{"day": "2026-01-05", "n": 7}, {"day": "2026-01-09", "n": 9}]

        with needs(warehouse, Feature[mode.name]):
            receipt = warehouse.write("orders", rows, MONDAY, mode=mode, keys=("n",))

        assert receipt.rows_outside == 1
        assert len(warehouse.rows("orders")) == 4

    def test_the_rows_of_a_query_stay_in_the_warehouse(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", ROWS)
        source = warehouse.store.dialect.table(warehouse.table("orders"))

        every = Query(f"SELECT day, n * 10 AS n FROM {source}")  # noqa: S608 -- quoted
        monday = Query(f"SELECT day, n * 100 AS n FROM ({every}) AS every WHERE n = 10")  # noqa: S608

        with needs(warehouse, Feature.PUSHDOWN):
            made = warehouse.write("sums", every)
        changed = warehouse.write("sums", monday, MONDAY)

        assert [row["n"] for row in warehouse.rows("sums")] == [1000, 20]
        assert (made.rows_written, changed.rows_written, changed.rows_outside) == (2, 1, 0)

    def test_a_query_that_cannot_be_run_changes_nothing(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", ROWS)

        with pytest.raises(InvalidInput, match=r"(?i)nowhere"):
            warehouse.write("orders", Query("SELECT * FROM nowhere"))

        assert warehouse.rows("orders") == ROWS

    def test_a_receipt_says_what_was_done(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", ROWS)

        receipt = warehouse.replace("orders", ROWS[:1], MONDAY)

        assert receipt.rows_written == 1
        assert receipt.rows_deleted in {1, None}
        assert receipt.bytes is not None
        assert receipt.bytes > 0
        assert receipt.statements > 0
        assert receipt.seconds > 0
        assert receipt.query
