"""Handlers that users write themselves, within our transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pytest

from dagweave.duckdb import (
    DbTypeHandler,
    DuckDBIOManager,
    DuckDBPandasTypeHandler,
    DuckDBPolarsTypeHandler,
    TablePartitionDimension,
    TableSlice,
    build_duckdb_io_manager,
)
from dagweave.warehouse.frames import PolarsFrames
from dagweave.warehouse.handlers import slice_of_table_slice, table_slice_of
from dagweave.warehouse.slices import Keys, Slice, Windows
from dagweave.weaving import TableRef
from duckdb_runs import Query, failure, metadata, run

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")


class Lines(list[str]):
    """A type that only this user has."""


class LinesHandler(DbTypeHandler[Lines]):
    """Written as one writes it for the official I/O manager."""

    def handle_output(
        self, context: dg.OutputContext, table_slice: TableSlice, obj: Lines, connection: Any
    ) -> dict[str, Any]:
        table = f"{table_slice.schema}.{table_slice.table}"
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (day VARCHAR, line VARCHAR)")
        for line in obj:
            if line == "break":
                raise ValueError("the handler broke")
            day = context.partition_key if context.has_partition_key else None
            connection.execute(f"INSERT INTO {table} VALUES (?, ?)", [day, line])
        return {"lines": len(obj)}

    def load_input(
        self, context: dg.InputContext, table_slice: TableSlice, connection: Any
    ) -> Lines:
        where = "TRUE"
        for dimension in table_slice.partition_dimensions or []:
            start, end = dimension.partitions
            where = f"{dimension.partition_expr} >= '{start.date()}' AND {dimension.partition_expr} < '{end.date()}'"
        rows = connection.execute(
            f"SELECT line FROM {table_slice.schema}.{table_slice.table} WHERE {where}"
        ).fetchall()
        return Lines(row[0] for row in rows)

    @property
    def supported_types(self) -> Sequence[type[object]]:
        return [Lines]


class LinesIOManager(DuckDBIOManager):
    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        return [LinesHandler(), DuckDBPandasTypeHandler()]


def causes(result: dg.ExecuteInProcessResult) -> list[str]:
    """What the failed step says, and what led to it."""
    (event,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    error = event.event_specific_data.error
    found = []
    while error:
        found.append(error.message)
        error = error.cause
    return found


def asset(text: dict[str, list[str]]) -> Any:
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"}, key_prefix="main")
    def lines(context) -> Lines:
        return Lines(text[context.partition_key])

    return lines


@pytest.mark.parametrize("form", ["class", "function"])
def test_a_handler_of_ones_own_stores_and_loads_its_type(
    database: str, query: Query, form: str
) -> None:
    io_manager = (
        LinesIOManager(database=database)
        if form == "class"
        else build_duckdb_io_manager([LinesHandler()]).configured({"database": database})
    )
    lines = asset({"2026-01-05": ["a", "b"], "2026-01-06": ["c"]})

    @dg.asset(partitions_def=DAYS, ins={"lines": dg.AssetIn(["main", "lines"])})
    def read(lines: Lines) -> None:
        assert type(lines) is Lines
        assert sorted(lines) == ["a", "b"]

    run(lines, io_manager=io_manager, partition_key="2026-01-06")
    result = run(lines, read, io_manager=io_manager, partition_key="2026-01-05")

    assert query("SELECT count(*) FROM lines") == [(3,)]
    found = metadata(result, "main__lines")
    assert found["lines"] == 2
    assert found["dagster/table_name"] == "dev.main.lines"
    assert "WHERE CAST(\"day\" AS TIMESTAMP) >= TIMESTAMP '2026-01-05 00:00:00'" in found["Query"]


def test_what_a_handler_replaces_is_gone_before_and_back_if_it_fails(
    database: str, query: Query
) -> None:
    text = {"2026-01-05": ["a"], "2026-01-06": ["b"]}
    io_manager = LinesIOManager(database=database)
    for day in text:
        run(asset(text), io_manager=io_manager, partition_key=day)

    run(asset({"2026-01-05": ["new"]}), io_manager=io_manager, partition_key="2026-01-05")
    broken = asset({"2026-01-05": ["half", "break"]})
    result = run(broken, io_manager=io_manager, partition_key="2026-01-05", ok=False)

    assert "the handler broke" in str(causes(result))
    assert query("SELECT day, line FROM lines ORDER BY 1") == [
        ("2026-01-05", "new"),
        ("2026-01-06", "b"),
    ]


def test_a_failure_that_a_handler_swallows_is_not_taken_for_success(
    database: str, query: Query
) -> None:
    """DuckDB rolls back then, and answers COMMIT with success all the same."""

    class Swallows(LinesHandler):
        def handle_output(self, context: Any, table_slice: Any, obj: Any, connection: Any) -> Any:
            super().handle_output(context, table_slice, obj, connection)
            try:
                connection.execute("SELECT CAST('x' AS INTEGER)").fetchall()
            except Exception:  # noqa: BLE001 -- what users do
                return {}

    io_manager = build_duckdb_io_manager([Swallows()]).configured({"database": database})
    run(
        asset({"2026-01-05": ["a"]}),
        io_manager=LinesIOManager(database=database),
        partition_key="2026-01-05",
    )

    said = failure(
        run(
            asset({"2026-01-05": ["b"]}),
            io_manager=io_manager,
            partition_key="2026-01-05",
            ok=False,
        )
    )

    assert "was not written" in said
    assert query("SELECT line FROM lines") == [("a",)]


def test_a_handler_may_build_on_one_of_ours(database: str, query: Query) -> None:
    class Upper(DuckDBPandasTypeHandler):
        def handle_output(self, context: Any, table_slice: Any, obj: Any, connection: Any) -> Any:
            upper = obj.rename(columns=str.upper)
            return super().handle_output(context, table_slice, upper, connection)

        def load_input(self, context: Any, table_slice: Any, connection: Any) -> Any:
            return super().load_input(context, table_slice, connection).rename(columns=str.lower)

    class UpperIOManager(DuckDBIOManager):
        @staticmethod
        def type_handlers() -> Sequence[DbTypeHandler[Any]]:
            return [Upper()]

    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "DAY", "schema": "main"})
    def days(context) -> pd.DataFrame:
        return pd.DataFrame({"day": [context.partition_key], "n": [1]})

    @dg.asset(
        partitions_def=DAYS,
        metadata={"partition_expr": "DAY", "schema": "main"},
        ins={"days": dg.AssetIn(metadata={"columns": ["day"]})},
    )
    def read(days) -> pd.DataFrame:
        assert list(days.columns) == ["day"]
        assert len(days) == 1
        return days

    for day in ("2026-01-05", "2026-01-06", "2026-01-05"):
        result = run(days, read, io_manager=UpperIOManager(database=database), partition_key=day)

    assert query("SELECT column_name FROM duckdb_columns() WHERE table_name = 'days'") == [
        ("DAY",),
        ("N",),
    ]
    assert query("SELECT count(*) FROM days") == [(2,)]
    assert metadata(result, "days")["dagster/partition_row_count"] == 1


class Asked(DuckDBPolarsTypeHandler):
    """Does nothing of its own, but has to be asked, since it could."""

    def load_input(self, context: Any, table_slice: Any, connection: Any) -> Any:
        return super().load_input(context, table_slice, connection)


class AskedIOManager(DuckDBIOManager):
    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        return [Asked()]


@pytest.mark.parametrize("exists", [True, False])
def test_no_partitions_are_no_rows_to_a_handler(database: str, query: Query, exists: bool) -> None:
    @dg.asset(
        partitions_def=DAYS,
        metadata={"partition_expr": "day"},
        ins={
            "total": dg.AssetIn(
                partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)
            )
        },
    )
    def total(context, total: pl.DataFrame) -> pl.DataFrame:
        assert len(total) == 0
        return pl.DataFrame({"day": [context.partition_key]})

    if exists:
        query("CREATE SCHEMA public; CREATE TABLE public.total AS SELECT '2026-01-07' AS day")

    run(total, io_manager=AskedIOManager(database=database), partition_key="2026-01-01")

    assert query("SELECT count(*) FROM public.total") == [(1 + exists,)]


def test_a_handler_is_told_the_expressions_of_no_partitions() -> None:
    nothing = Slice(((Windows("day", ()), Keys("region", ())),), "no partitions")

    told = table_slice_of(TableRef("orders", "main"), nothing)

    assert told.partition_dimensions == [
        TablePartitionDimension("day", []),
        TablePartitionDimension("region", []),
    ]
    back = slice_of_table_slice(told)
    assert back is not None
    assert back.is_empty


def test_a_table_that_a_handler_wrote_without_its_partition_column_is_not_kept(
    database: str, query: Query
) -> None:
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "no_such_column"})
    def lines() -> Lines:
        return Lines(["a"])

    said = failure(
        run(
            lines,
            io_manager=LinesIOManager(database=database, schema="main"),
            partition_key="2026-01-05",
            ok=False,
        )
    )

    assert "no_such_column" in said
    assert query("SELECT count(*) FROM information_schema.tables") == [(0,)]


def test_whatever_a_handler_overrides_is_asked(database: str, query: Query) -> None:
    class Marked(DuckDBPandasTypeHandler):
        def write(self, plan: Any, stream: Any, connection: Any) -> Any:
            connection.execute("CREATE TABLE IF NOT EXISTS main.written AS SELECT 1 AS n")
            return super().write(plan, stream, connection)

        def read(self, plan: Any, connection: Any) -> Any:
            return super().read(replace(plan, columns=("n",)), connection)

    class Front(PolarsFrames):
        def to_stream(self, frame: Any) -> Any:
            return super().to_stream(frame.with_columns(m=7))

    class Fronted(DuckDBPolarsTypeHandler):
        front_end = Front()

    class Both(DuckDBIOManager):
        @staticmethod
        def type_handlers() -> Sequence[DbTypeHandler[Any]]:
            return [Marked(), Fronted()]

    @dg.asset
    def one() -> pd.DataFrame:
        return pd.DataFrame({"n": [1], "unread": [2]})

    @dg.asset
    def two(one: pd.DataFrame) -> pl.DataFrame:
        assert list(one.columns) == ["n"]
        return pl.DataFrame({"n": [1]})

    run(one, two, io_manager=Both(database=database))

    assert query("SELECT n FROM main.written") == [(1,)]
    assert query("SELECT m FROM public.two") == [(7,)]


def test_rows_of_another_partition_are_warned_of_by_a_handler_too(
    database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def stray() -> pl.DataFrame:
        return pl.DataFrame({"day": ["2026-01-05", "2026-01-06"]})

    result = run(stray, io_manager=AskedIOManager(database=database), partition_key="2026-01-05")

    assert metadata(result, "stray")["dagweave/rows_outside_partition"] == 1
    assert "1 of 2 rows" in capfd.readouterr().err


def test_two_handlers_of_one_type_are_refused(database: str) -> None:
    class Both(DuckDBIOManager):
        @staticmethod
        def type_handlers() -> Sequence[DbTypeHandler[Any]]:
            return [DuckDBPandasTypeHandler(), DuckDBPandasTypeHandler()]

    @dg.asset
    def one() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    with pytest.raises(Exception, match="io_manager") as caught:
        run(one, io_manager=Both(database=database))

    assert "two handlers for type" in str(caught.value.__cause__)


def test_an_input_without_annotation_needs_one_handler_or_a_word(database: str) -> None:
    class Two(DuckDBIOManager):
        @staticmethod
        def type_handlers() -> Sequence[DbTypeHandler[Any]]:
            return [DuckDBPandasTypeHandler(), DuckDBPolarsTypeHandler()]

    class Told(Two):
        @staticmethod
        def default_load_type() -> type[Any] | None:
            return pl.DataFrame

    @dg.asset
    def one() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    @dg.asset
    def read(one) -> None:
        assert isinstance(one, pl.DataFrame)

    run(one, read, io_manager=Told(database=database))
    said = failure(run(one, read, io_manager=Two(database=database), ok=False))

    assert "does not have a handler for type typing.Any" in said
    assert "Annotate the input" in said


def test_a_base_without_handlers_cannot_be_made(database: str) -> None:
    with pytest.raises(TypeError, match="type_handlers"):
        DuckDBIOManager(database=database)  # type: ignore[abstract]  # that is the point
