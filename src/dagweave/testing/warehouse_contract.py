"""What every warehouse promises, as tests that any store of tables can be held to.

Inherit `WarehouseContract` in a test module and give it a store:

```python
import pytest
from dagweave.testing.warehouse_contract import Warehouse, WarehouseContract

class TestMyWarehouse(WarehouseContract):
    @pytest.fixture
    def warehouse(self):
        return Warehouse(my_store())
```

Each test wants a warehouse in which the schema `contract` has no tables.
"""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn, cast
from zoneinfo import ZoneInfo

import pytest

from dagweave._kernel.errors import DagweaveError, InvalidInput, SchemaMismatch
from dagweave.warehouse.arrow import pyarrow
from dagweave.warehouse.capabilities import Feature
from dagweave.warehouse.plan import ReadPlan, Receipt, WritePlan
from dagweave.warehouse.slices import Keys, Slice, Windows
from dagweave.warehouse.store import Query
from dagweave.weaving.table_ref import TableRef

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from dagweave.warehouse.arrow import Schema, Stream
    from dagweave.warehouse.store import TableStore

Row = dict[str, Any]
NEW_YORK = ZoneInfo("America/New_York")


class Partition:
    """Some partitions of a table: those whose `expr` is one of `keys`."""

    def __init__(self, expr: str, *keys: str) -> None:
        self.slice = Slice(((Keys(expr, keys),),), ", ".join(keys))


def window(expr: str, start: dt.datetime, end: dt.datetime) -> Slice:
    """The rows whose `expr` lies between two moments, the second one excluded."""
    zone = str(start.tzinfo) if start.tzinfo else "UTC"
    return Slice(((Windows(expr, ((start, end),)),),), f"{start} to {end}", zone)


@dataclass(frozen=True)
class Warehouse:
    """A store under test, driven with plain rows."""

    store: TableStore
    schema: str = "contract"

    def table(self, name: str) -> TableRef:
        """A table of the schema that the tests use."""
        return self.store.locate(TableRef(name, self.schema))

    def replace(self, table: str, rows: Any, part: Partition | Slice | None = None) -> Receipt:
        """Write rows, or an Arrow table or stream, in place of a table or of a part of it."""
        return self.write(table, rows, part)

    def write(
        self, table: str, rows: Any, part: Partition | Slice | None = None, **how: Any
    ) -> Receipt:
        """Write rows, or an Arrow table or stream, or what a query gives.

        Args:
            how: Further fields of the `WritePlan`.
        """
        given = rows if isinstance(rows, Query) else _stream(rows)
        return self.store.write(self.plan(table, part, **how), given)

    def plan(self, table: str, part: Partition | Slice | None = None, **how: Any) -> WritePlan:
        """The plan that `write` carries out."""
        where = self.table(table)
        slice_ = part.slice if isinstance(part, Partition) else part
        return WritePlan(where, slice_, **how)

    def rows(
        self,
        table: str,
        part: Partition | Slice | None = None,
        columns: tuple[str, ...] | None = None,
    ) -> list[Row]:
        """The rows of a table, or of a part of it, in no order that a warehouse keeps: sorted."""
        found = self.read(table, part, columns).to_pylist()
        return sorted(cast("list[Row]", found), key=lambda row: [str(v) for v in row.values()])

    def read(
        self,
        table: str,
        part: Partition | Slice | None = None,
        columns: tuple[str, ...] | None = None,
    ) -> Any:
        """The same as a `pyarrow.Table`."""
        slice_ = part.slice if isinstance(part, Partition) else part
        with self.store.read(ReadPlan(self.table(table), columns, slice_)) as stream:
            return stream.read_all()


@contextmanager
def needs(warehouse: Warehouse, feature: Feature, *, told: bool = True) -> Generator[None]:
    """What is within the context either works or is refused, as the engine declares.

    Where it is refused, nothing after the context is run.

    Args:
        told: Whether the refusal has to say the reason that the engine declares.
    """
    capability = warehouse.store.capabilities[feature]
    if capability:
        yield
        return
    with pytest.raises(InvalidInput) as refused:
        yield
    assert not told or capability.reason in str(refused.value)
    pytest.skip(f"{warehouse.store.dialect.kind}: {feature.value}: {capability.reason}")


def _stream(rows: Any) -> Stream:
    pa = pyarrow()
    if isinstance(rows, list):
        return pa.Table.from_pylist(rows).to_reader()
    return rows if isinstance(rows, pa.RecordBatchReader) else rows.to_reader()


class _Interrupted(Exception):
    """The stream's own failure."""


def _failing_stream(schema: Schema) -> Stream:
    """A stream that gives some rows and then fails."""

    def batches() -> Iterator[Any]:
        pa = pyarrow()
        for _ in range(3):
            yield pa.RecordBatch.from_pylist([{"day": "2026-01-05", "n": 7}] * 1000, schema)
        _interrupt()

    return pyarrow().RecordBatchReader.from_batches(schema, batches())


def _at_once(work: Callable[[Any], object], values: Sequence[Any]) -> None:
    """Do a work for each of some values, in as many threads; none of them may fail."""
    ready = threading.Barrier(len(values))

    def start(value: Any) -> None:
        ready.wait()
        work(value)

    with ThreadPoolExecutor(len(values)) as threads:
        list(threads.map(start, values))


def _interrupt() -> NoReturn:
    raise _Interrupted("the stream broke off")


@contextmanager
def taken_or_refused(warehouse: Warehouse, feature: Feature) -> Generator[None]:
    """What is within the context works; only if the engine says that not all of it does, it may not.

    Where it is refused, with the declared reason, nothing after the context is run.
    """
    capability = warehouse.store.capabilities[feature]
    try:
        yield
    except InvalidInput as refused:
        if capability or capability.reason not in str(refused):
            raise
        pytest.skip(f"{warehouse.store.dialect.kind}: {feature.value}: {capability.reason}")


MONDAY = Partition("day", "2026-01-05")
TUESDAY = Partition("day", "2026-01-06")


class WarehouseContract:
    """The tests. A subclass gives the fixture `warehouse`."""

    def test_a_table_is_what_was_last_written_to_it(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", [{"n": 1}, {"n": 2}])

        receipt = warehouse.replace("orders", [{"n": 3}])

        assert warehouse.rows("orders") == [{"n": 3}]
        assert receipt.rows_written == 1

    def test_replacing_a_table_takes_the_new_columns_and_reports_the_difference(
        self, warehouse: Warehouse
    ) -> None:
        warehouse.replace("orders", [{"n": 1, "gone": "x", "same": 1.5}])

        receipt = warehouse.replace("orders", [{"n": "one", "new": True, "same": 2.5}])

        assert warehouse.rows("orders") == [{"n": "one", "new": True, "same": 2.5}]
        assert receipt.difference.added == ("new",)
        assert receipt.difference.removed == ("gone",)
        assert [each.name for each in receipt.difference.changed] == ["n"]

    def test_replacing_one_partition_leaves_the_others_untouched(
        self, warehouse: Warehouse
    ) -> None:
        warehouse.replace("orders", [{"day": "2026-01-05", "n": 1}], MONDAY)
        warehouse.replace("orders", [{"day": "2026-01-06", "n": 2}], TUESDAY)

        receipt = warehouse.replace("orders", [{"day": "2026-01-05", "n": 9}], MONDAY)

        assert [row["n"] for row in warehouse.rows("orders")] == [9, 2]
        assert receipt.rows_deleted in {1, None}
        assert (receipt.rows_written, receipt.rows_outside) == (1, 0)

    def test_several_partitions_are_replaced_and_read_as_one(self, warehouse: Warehouse) -> None:
        days = [{"day": f"2026-01-0{n}", "n": n} for n in range(1, 6)]
        warehouse.replace("orders", days)
        some = Partition("day", "2026-01-01", "2026-01-03", "2026-01-05")

        warehouse.replace("orders", [{"day": "2026-01-03", "n": 33}], some)

        assert [row["n"] for row in warehouse.rows("orders")] == [2, 33, 4]
        assert [row["n"] for row in warehouse.rows("orders", some)] == [33]

    def test_partitions_of_two_dimensions_need_not_form_a_rectangle(
        self, warehouse: Warehouse
    ) -> None:
        rows = [{"day": day, "region": region} for day in "ab" for region in ("eu", "us")]
        warehouse.replace("orders", rows)
        corner = Slice(
            (
                (Keys("day", ("a",)), Keys("region", ("eu", "us"))),
                (Keys("day", ("b",)), Keys("region", ("eu",))),
            ),
            "three of four",
        )

        assert len(warehouse.rows("orders", corner)) == 3
        warehouse.replace("orders", [{"day": "a", "region": "us"}], corner)

        assert warehouse.rows("orders") == [
            {"day": "a", "region": "us"},
            {"day": "b", "region": "us"},
        ]

    def test_columns_in_another_order_go_where_their_names_say(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", [{"day": "2026-01-05", "price": 1, "cost": 2}], MONDAY)

        warehouse.replace("orders", [{"day": "2026-01-06", "cost": 4, "price": 3}], TUESDAY)

        assert warehouse.rows("orders", TUESDAY) == [{"day": "2026-01-06", "price": 3, "cost": 4}]

    @pytest.mark.parametrize(
        ("frame", "named"),
        [
            pytest.param({"day": "2026-01-05", "n": 1, "extra": "x"}, "extra", id="new"),
            pytest.param({"day": "2026-01-05"}, "n", id="missing"),
            pytest.param({"day": "2026-01-05", "n": "one"}, "n", id="another type"),
            pytest.param({"day": "2026-01-05", "n": 1.5}, "n", id="would lose the fraction"),
        ],
    )
    def test_a_partition_whose_columns_do_not_fit_is_refused_and_nothing_changes(
        self, warehouse: Warehouse, frame: Row, named: str
    ) -> None:
        before = [{"day": "2026-01-05", "n": 1}]
        warehouse.replace("orders", before, MONDAY)

        with pytest.raises(SchemaMismatch) as caught:
            warehouse.replace("orders", [frame], MONDAY)

        assert named in str(caught.value)
        assert "orders" in str(caught.value).lower()
        assert warehouse.rows("orders") == before

    def test_what_fits_without_loss_is_taken(self, warehouse: Warehouse) -> None:
        pa = pyarrow()
        narrow = pa.table({"day": ["2026-01-06"], "n": pa.array([2], pa.int32()), "x": [3]})
        warehouse.replace("orders", [{"day": "2026-01-05", "n": 1, "x": 0.5}], MONDAY)

        warehouse.replace("orders", narrow, TUESDAY)
        nothing = pa.table({"day": ["2026-01-05"], "n": pa.nulls(1), "x": pa.nulls(1)})
        warehouse.replace("orders", nothing, MONDAY)

        assert warehouse.rows("orders") == [
            {"day": "2026-01-05", "n": None, "x": None},
            {"day": "2026-01-06", "n": 2, "x": 3.0},
        ]

    def test_a_value_too_large_for_its_column_changes_nothing(self, warehouse: Warehouse) -> None:
        pa = pyarrow()
        small = pa.table({"day": ["2026-01-05"], "n": pa.array([1], pa.int16())})
        warehouse.replace("orders", small, MONDAY)

        column = next(
            c
            for c in warehouse.store.describe(warehouse.table("orders")) or ()
            if c.name.lower() == "n"
        )
        # Some have integers of 64 bits only.
        narrow = column.arrow == pa.int16()
        too_large = pa.array([70_000]) if narrow else pa.array([2**64 - 1], pa.uint64())

        with pytest.raises(SchemaMismatch):
            warehouse.replace("orders", pa.table({"day": ["2026-01-05"], "n": too_large}), MONDAY)

        assert warehouse.rows("orders") == [{"day": "2026-01-05", "n": 1}]

    def test_a_value_that_its_column_would_round_changes_nothing(
        self, warehouse: Warehouse
    ) -> None:
        before = [{"day": "2026-01-05", "id": None}, {"day": "2026-01-05", "id": 1.0}]
        warehouse.replace("orders", before, MONDAY)
        exact, too_long = 2**53, 2**53 + 1

        with pytest.raises(SchemaMismatch, match=r"(?s)'id'.*double.*int64"):
            warehouse.replace("orders", [{"day": "2026-01-05", "id": too_long}], MONDAY)
        assert warehouse.rows("orders") == [before[1], before[0]]

        warehouse.replace("orders", [{"day": "2026-01-05", "id": exact}], MONDAY)
        assert warehouse.rows("orders") == [{"day": "2026-01-05", "id": float(exact)}]

    def test_a_column_without_a_value_takes_the_type_that_it_turns_out_to_have(
        self, warehouse: Warehouse
    ) -> None:
        warehouse.replace("orders", [{"day": "2026-01-05", "n": None}], MONDAY)

        with needs(warehouse, Feature.RETYPE, told=False):
            receipt = warehouse.replace("orders", [{"day": "2026-01-06", "n": 2**60}], TUESDAY)

        assert [each.name for each in receipt.difference.changed] == ["n"]
        assert warehouse.rows("orders") == [
            {"day": "2026-01-05", "n": None},
            {"day": "2026-01-06", "n": 2**60},
        ]

    def test_an_empty_frame_makes_a_typed_table(self, warehouse: Warehouse) -> None:
        pa = pyarrow()
        schema = pa.schema([("day", pa.date32()), ("n", pa.int64())])

        warehouse.replace("orders", schema.empty_table())

        assert warehouse.read("orders").schema == schema

    def test_an_empty_frame_empties_its_partition_only(self, warehouse: Warehouse) -> None:
        rows = [{"day": "2026-01-05", "n": 1}, {"day": "2026-01-06", "n": 2}]
        warehouse.replace("orders", rows)

        warehouse.replace("orders", pyarrow().Table.from_pylist(rows).slice(0, 0), MONDAY)

        assert warehouse.rows("orders") == rows[1:]

    @pytest.mark.parametrize("part", [None, MONDAY], ids=["table", "partition"])
    def test_a_stream_that_breaks_off_changes_nothing(
        self, warehouse: Warehouse, part: Partition | None
    ) -> None:
        before = [{"day": "2026-01-05", "n": 1}, {"day": "2026-01-06", "n": 2}]
        warehouse.replace("orders", before)
        schema = warehouse.read("orders").schema

        with pytest.raises(DagweaveError, match="the stream broke off"):
            warehouse.replace("orders", _failing_stream(schema), part)

        assert warehouse.rows("orders") == before

    def test_a_stream_that_breaks_off_leaves_no_table_where_there_was_none(
        self, warehouse: Warehouse
    ) -> None:
        pa = pyarrow()
        schema = pa.schema([("day", pa.string()), ("n", pa.int64())])

        with pytest.raises(DagweaveError):
            warehouse.replace("orders", _failing_stream(schema))

        assert warehouse.store.describe(warehouse.table("orders")) is None

    def test_who_has_begun_to_read_reads_on_as_it_was(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", [{"n": n} for n in range(1000)])
        plan = ReadPlan(warehouse.table("orders"))

        with warehouse.store.read(plan, shared=True) as stream:
            warehouse.replace("orders", [{"n": -1}])
            seen = stream.read_all()

        assert seen.num_rows == 1000
        assert warehouse.rows("orders") == [{"n": -1}]

    def test_an_error_in_another_writer_brings_the_rows_back(self, warehouse: Warehouse) -> None:
        before = [{"day": "2026-01-05", "n": 1}, {"day": "2026-01-06", "n": 2}]
        warehouse.replace("orders", before)

        with pytest.raises(_Interrupted), warehouse.store.emptied(warehouse.plan("orders", MONDAY)):
            _interrupt()

        assert warehouse.rows("orders") == before

    def test_another_writer_finds_only_its_partition_empty(self, warehouse: Warehouse) -> None:
        before = [{"day": "2026-01-05", "n": 1}, {"day": "2026-01-06", "n": 2}]
        warehouse.replace("orders", before)

        with warehouse.store.emptied(warehouse.plan("orders", MONDAY)):
            pass

        assert warehouse.rows("orders") == before[1:]

    def test_first_partitions_written_at_once_are_all_there(self, warehouse: Warehouse) -> None:
        for at in range(5):
            days = [f"2026-01-0{day}" for day in range(1, 5)]

            def write(day: str, table: str = f"orders_{at}") -> None:
                warehouse.replace(table, [{"day": day, "n": 1}], Partition("day", day))

            _at_once(write, days)

            assert [row["day"] for row in warehouse.rows(f"orders_{at}")] == days

    def test_a_partition_written_twice_at_once_is_there_once(self, warehouse: Warehouse) -> None:
        for at in range(5):
            table = f"orders_{at}"
            warehouse.replace(table, [{"day": "2026-01-06", "n": 0}], TUESDAY)

            def write(n: int, table: str = table) -> None:
                warehouse.replace(table, [{"day": "2026-01-05", "n": n}], MONDAY)

            _at_once(write, range(1, 5))

            assert len(warehouse.rows(table, MONDAY)) == 1

    def test_a_window_of_time_includes_its_start_and_not_its_end(
        self, warehouse: Warehouse
    ) -> None:
        hours = [dt.datetime(2026, 1, 5, hour, tzinfo=dt.UTC) for hour in range(4)]
        warehouse.replace(
            "events", [{"at": hour, "naive": hour.replace(tzinfo=None)} for hour in hours]
        )

        for column in ("at", "naive"):
            found = warehouse.rows("events", window(column, hours[1], hours[3]))
            assert [row["at"] for row in found] == hours[1:3]

    def test_windows_of_a_zone_meet_instants_whatever_zone_those_were_written_in(
        self, warehouse: Warehouse
    ) -> None:
        hours = [dt.datetime(2026, 1, 5, hour, tzinfo=dt.UTC) for hour in range(24)]
        warehouse.replace("events", [{"at": hour} for hour in hours])
        five = dt.datetime(2026, 1, 5, 5, tzinfo=NEW_YORK)
        part = window("at", five, five + dt.timedelta(hours=1))

        warehouse.replace("events", [{"at": five}], part)

        assert warehouse.rows("events", part) == [{"at": five}]
        assert [row["at"] for row in warehouse.rows("events")] == hours

    def test_windows_of_a_zone_meet_times_without_one_by_the_clock_on_the_wall(
        self, warehouse: Warehouse
    ) -> None:
        walls = [dt.datetime(2026, 1, 5, hour) for hour in range(24)]  # noqa: DTZ001
        days = [{"at": wall, "day": wall.date(), "text": wall.isoformat()} for wall in walls]
        warehouse.replace("events", days)
        five = dt.datetime(2026, 1, 5, 5, tzinfo=NEW_YORK)
        today = window("day", five.replace(hour=0), five.replace(day=6, hour=0))

        for column in ("at", "text"):
            found = warehouse.rows("events", window(column, five, five.replace(hour=7)))
            assert [row["at"].hour for row in found] == [5, 6]
        assert len(warehouse.rows("events", today)) == 24

    def test_rows_on_another_clock_than_the_partitions_are_refused(
        self, warehouse: Warehouse
    ) -> None:
        midnight = dt.datetime(2026, 1, 5, tzinfo=NEW_YORK)
        before = [{"at": midnight.astimezone(dt.UTC).replace(tzinfo=None)}]
        warehouse.replace("events", before)
        five = midnight.replace(hour=5)
        in_utc = five.astimezone(dt.UTC).replace(tzinfo=None)

        with pytest.raises(InvalidInput, match="New_York"):
            warehouse.replace("events", [{"at": in_utc}], window("at", five, five.replace(hour=6)))

        assert warehouse.rows("events") == before

    def test_an_hour_that_occurs_twice_is_told_apart_or_refused(self, warehouse: Warehouse) -> None:
        first = dt.datetime(2026, 11, 1, 1, tzinfo=NEW_YORK)
        second = first.replace(fold=1)
        rows = [{"at": hour, "naive": hour.replace(tzinfo=None)} for hour in (first, second)]
        warehouse.replace("events", rows)
        end = dt.datetime(2026, 11, 1, 2, tzinfo=NEW_YORK)

        found = warehouse.rows("events", window("at", second, end))

        assert [row["at"].utcoffset() for row in found] == [second.utcoffset()]
        with pytest.raises(InvalidInput, match="twice"):
            warehouse.rows("events", window("naive", second, end))

    def test_rows_outside_their_partition_are_counted(self, warehouse: Warehouse) -> None:
        rows = [{"day": "2026-01-05"}, {"day": "2026-01-06"}, {"day": None}]

        receipt = warehouse.replace("orders", rows, MONDAY)

        assert receipt.rows_outside == 2

    def test_keys_are_compared_as_what_the_column_holds(self, warehouse: Warehouse) -> None:
        rows = [{"n": n, "day": dt.date(2026, 1, n), "ok": n > 1} for n in (1, 2)]
        warehouse.replace("orders", rows)

        assert warehouse.rows("orders", Partition("n", "2")) == rows[1:]
        assert warehouse.rows("orders", Partition("day", "2026-01-02")) == rows[1:]
        assert warehouse.rows("orders", Partition("ok", "true")) == rows[1:]
        with pytest.raises(InvalidInput, match="'two'"):
            warehouse.rows("orders", Partition("n", "two"))

    def test_a_key_is_a_value_and_never_sql(self, warehouse: Warehouse) -> None:
        rows = [{"name": "it's"}, {"name": "') OR TRUE --"}, {"name": "x"}]
        warehouse.replace("people", rows)

        assert warehouse.rows("people", Partition("name", "it's")) == [{"name": "it's"}]
        assert warehouse.rows("people", Partition("name", "') OR TRUE --")) == [rows[1]]

    def test_an_expression_that_cannot_be_evaluated_is_named(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", [{"n": 1}])

        with pytest.raises(InvalidInput, match="no_such_column"):
            warehouse.rows("orders", Partition("no_such_column", "1"))

    @pytest.mark.parametrize(
        "name", ["order-lines", 'say "hi"', "Ünïcode 表", "select", "a.b", "1st"]
    )
    def test_a_name_may_be_anything(self, warehouse: Warehouse, name: str) -> None:
        odd = Warehouse(warehouse.store, schema=name)
        column = warehouse.store.dialect.shown(name)
        rows = [{name: "a", "n": 1}, {name: "b", "n": 2}]
        with taken_or_refused(warehouse, Feature.ODD_NAMES):
            odd.replace(name, rows)

        odd.replace(name, [{name: "a", "n": 3}], Partition(name, "a"))

        assert odd.rows(name) == [{column: "a", "n": 3}, {column: "b", "n": 2}]
        assert odd.rows(name, columns=(name,)) == [{column: "a"}, {column: "b"}]

    def test_two_columns_that_are_one_to_the_warehouse_are_refused(
        self, warehouse: Warehouse
    ) -> None:
        twice = pyarrow().table([[1], [2]], names=["n", "n"])

        with pytest.raises(InvalidInput, match="'n'"):
            warehouse.replace("orders", twice)

    def test_values_come_back_as_they_went_in(self, warehouse: Warehouse) -> None:
        rows = [
            {
                "decimal": Decimal("12345678901234567890.12"),
                "day": dt.date(1900, 2, 28),
                "naive": dt.datetime(2026, 3, 8, 2, 30),  # noqa: DTZ001
                "utc": dt.datetime(2026, 1, 5, 1, 2, 3, 456_789, tzinfo=dt.UTC),
                "new_york": dt.datetime(2026, 7, 5, 12, tzinfo=NEW_YORK),
                "list": [1, None, 3],
                "struct": {"a": 1, "b": {"c": "x"}},
                "bytes": b"\x00\xff",
                "flag": True,
                "text": "naïve ' \" 表",
                "float": 0.1,
                "big": 2**62,
            }
        ]
        if not warehouse.store.capabilities[Feature.NESTED]:
            del rows[0]["list"], rows[0]["struct"]
        rows.append(cast("Row", dict.fromkeys(rows[0])))
        if not warehouse.store.capabilities[Feature.NULLS_IN_LISTS]:
            rows[0]["list"], rows[1]["list"] = [1, 3], []
        sent = pyarrow().Table.from_pylist(rows)

        warehouse.replace("types", sent)
        back = warehouse.read("types")

        assert _sorted(back.to_pylist()) == _sorted(rows)
        for column in ("decimal", "day", "utc", "new_york"):
            assert back.schema.field(column).type == sent.schema.field(column).type

    def test_a_column_of_nothing_but_nulls_can_be_stored(self, warehouse: Warehouse) -> None:
        pa = pyarrow()
        nothing = pa.table({"n": [1], "none": pa.nulls(1), "nones": pa.array([[None]])})
        if not warehouse.store.capabilities[Feature.NULLS_IN_LISTS]:
            with pytest.raises(InvalidInput, match="nones"):
                warehouse.replace("orders", nothing)
        if not (
            warehouse.store.capabilities[Feature.NULLS_IN_LISTS]
            and warehouse.store.capabilities[Feature.NESTED]
        ):
            nothing = nothing.drop_columns("nones")

        warehouse.replace("orders", nothing)

        assert warehouse.rows("orders") == nothing.to_pylist()

    def test_only_the_columns_asked_for_are_read(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", [{"a": 1, "b": 2, "c": 3}])

        assert warehouse.rows("orders", columns=("c", "a")) == [{"c": 3, "a": 1}]
        with pytest.raises(InvalidInput, match="'d'"):
            warehouse.rows("orders", columns=("d",))

    def test_a_table_that_is_not_there_is_named(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", [{"n": 1}])

        assert warehouse.store.describe(warehouse.table("order")) is None
        with pytest.raises(InvalidInput, match=r"(?is)no table .*order.*nearest.*orders"):
            warehouse.rows("order")

    def test_no_partitions_are_no_rows_with_columns(self, warehouse: Warehouse) -> None:
        warehouse.replace("orders", [{"day": "2026-01-05", "n": 1}])

        nothing = warehouse.read("orders", Partition("day"))

        assert (nothing.num_rows, nothing.column_names) == (0, ["day", "n"])

    def test_to_replace_no_partitions_deletes_nothing(self, warehouse: Warehouse) -> None:
        rows = [{"day": "2026-01-05", "n": 1}, {"day": "2026-01-06", "n": 2}]
        warehouse.replace("orders", rows)

        warehouse.replace("orders", pyarrow().Table.from_pylist(rows).slice(0, 0), Partition("day"))
        with warehouse.store.emptied(warehouse.plan("orders", Partition("day"))):
            pass

        assert warehouse.rows("orders") == rows

    def test_a_table_of_another_kind_of_warehouse_is_not_looked_for_here(
        self, warehouse: Warehouse
    ) -> None:
        elsewhere = TableRef("orders", "main", kind="oracle")

        with pytest.raises(InvalidInput, match="oracle"):
            warehouse.store.locate(elsewhere)


def _sorted(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=str)
