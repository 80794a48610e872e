"""Every kind of frame, in and out."""

from __future__ import annotations

import datetime as dt
import gc
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from dagweave.duckdb import DuckDBPandasIOManager, DuckDBPolarsIOManager
from duckdb_runs import Query, failure, metadata, run

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture
def io_manager(database: str) -> DuckDBPolarsIOManager:
    return DuckDBPolarsIOManager(database=database, schema="main")


def round_trip(frame: Any, io_manager: Any, annotation: Any = None) -> Any:
    """Write a frame with one asset, and give back what another one loads."""
    loaded: list[Any] = []

    @dg.asset
    def written():
        return frame

    def read(written) -> None:
        loaded.append(written)

    read.__annotations__ = {"written": annotation or type(frame), "return": None}
    run(written, dg.asset(read), io_manager=io_manager)
    return loaded[0]


POLARS = pl.DataFrame(
    {
        "decimal": [Decimal("12345678901234567890.12"), None],
        "date": [dt.date(1900, 2, 28), None],
        "naive": [dt.datetime.fromisoformat("2026-03-08 02:30"), None],
        "utc": [dt.datetime(2026, 1, 5, 1, 2, 3, 456_789, tzinfo=dt.UTC), None],
        "zoned": [dt.datetime(2026, 7, 5, 12, tzinfo=NEW_YORK), None],
        "duration": [dt.timedelta(days=1, microseconds=1), None],
        "time": [dt.time(1, 2, 3), None],
        "list": [[1, None, 3], None],
        "struct": [{"a": 1, "b": {"c": "x"}}, None],
        "bytes": [b"\x00\xff", None],
        "flag": [True, None],
        "text": ["naïve ' \" 表", None],
        "small": pl.Series([1, None], dtype=pl.UInt8),
        "float": pl.Series([0.1, None], dtype=pl.Float32),
    },
    schema_overrides={
        "decimal": pl.Decimal(38, 2),
        "zoned": pl.Datetime("us", "America/New_York"),
    },
)


def test_a_polars_frame_comes_back_equal_in_every_type(io_manager: DuckDBPolarsIOManager) -> None:
    assert_frame_equal(round_trip(POLARS, io_manager), POLARS, check_row_order=False)


def test_a_lazy_frame_is_collected_when_written_and_reads_when_collected(
    io_manager: DuckDBPolarsIOManager,
) -> None:
    back = round_trip(POLARS.lazy(), io_manager)

    assert isinstance(back, pl.LazyFrame)
    assert back.collect_schema() == POLARS.schema
    assert_frame_equal(back.collect(), POLARS, check_row_order=False)
    some = back.filter(pl.col("flag")).select("text", "small").head(1).collect()
    assert some.rows() == [("naïve ' \" 表", 1)]
    assert back.select(pl.len()).collect().item() == 2


def test_a_lazy_frame_sees_the_table_of_the_moment_when_it_is_collected(
    io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    back = round_trip(pl.LazyFrame({"n": [1]}), io_manager)

    query("INSERT INTO written VALUES (2)")

    assert sorted(back.collect()["n"]) == [1, 2]


def test_a_pandas_frame_comes_back_equal_where_pandas_can(database: str) -> None:
    frame = pd.DataFrame(
        {
            "decimal": [Decimal("1.50"), Decimal("2.25")],
            "date": [dt.date(1900, 2, 28), dt.date(2026, 1, 5)],
            "naive": pd.to_datetime(["2026-03-08 02:30", "2026-01-05 00:00"]),
            "nanos": pd.to_datetime(["2026-03-08", "2026-01-05"]).as_unit("ns"),
            "zoned": pd.to_datetime(["2026-01-05", "2026-07-05"]).tz_localize("America/New_York"),
            "duration": pd.to_timedelta(["1 day", "2 hours"]).as_unit("us"),
            "text": ["a", None],
            "int": [1, 2],
            "float": [0.5, None],
            "flag": [True, False],
            "bytes": [b"a", b"b"],
        }
    )

    back = round_trip(frame, DuckDBPandasIOManager(database=database))

    pd.testing.assert_frame_equal(back, frame)


def test_what_pandas_cannot_hold_comes_back_as_the_documents_say(
    database: str, query: Query
) -> None:
    frame = pd.DataFrame(
        {
            "nullable": pd.array([1, None], dtype="Int64"),
            "category": pd.Categorical(["a", "b"]),
        },
        index=pd.Index([7, 8], name="lost"),
    )

    back = round_trip(frame, DuckDBPandasIOManager(database=database, schema="main"))

    assert back["nullable"].dtype == "float64"
    assert isinstance(back["category"].dtype, pd.StringDtype)
    assert list(back.columns) == ["nullable", "category"]
    assert list(back.index) == [0, 1]
    assert query("SELECT typeof(nullable) FROM written LIMIT 1") == [("BIGINT",)]


def test_sums_of_duckdb_are_numbers_in_pandas(database: str, query: Query) -> None:
    query(
        "CREATE TABLE sums AS SELECT sum(i) AS small, sum(i::HUGEINT * 1000000000000000000) + 1 AS large FROM range(100) t(i)"
    )
    loaded: list[pd.DataFrame] = []

    @dg.asset
    def read(sums: pd.DataFrame) -> None:
        loaded.append(sums)

    sums = dg.AssetSpec("sums")
    run(sums, read, io_manager=DuckDBPandasIOManager(database=database, schema="main"))

    assert loaded[0].dtypes.astype(str).to_dict() == {"small": "int64", "large": "object"}
    assert loaded[0]["small"][0] == 4950
    assert loaded[0]["large"][0] == Decimal(4950 * 10**18 + 1)


HOURS = dg.HourlyPartitionsDefinition("2026-01-01-00:00", timezone="America/New_York")


@pytest.mark.parametrize(
    "frame", [pl.DataFrame, pl.LazyFrame, pd.DataFrame, pa.Table, pa.RecordBatchReader]
)
def test_times_within_lists_and_structs_are_in_utc(
    io_manager: DuckDBPolarsIOManager, frame: type[Any]
) -> None:
    """DuckDB shows them in the time zone of the connection, which is the partitions'."""
    moment = dt.datetime(2026, 1, 1, 8, tzinfo=dt.UTC)
    zoned = pa.timestamp("us", "UTC")
    times = pa.table(
        {
            "at": pa.array([moment], zoned),
            "list": pa.array([[moment]], pa.list_(zoned)),
            "struct": pa.array([{"a": [moment]}], pa.struct({"a": pa.list_(zoned)})),
            "map": pa.array([[("k", moment)]], pa.map_(pa.string(), zoned)),
        }
    )
    loaded: list[Any] = []

    @dg.asset(partitions_def=HOURS, metadata={"partition_expr": "at"})
    def written() -> pa.Table:
        return times

    def read(written) -> None:
        loaded.append(written)

    read.__annotations__ = {"written": frame, "return": None}
    reader = dg.asset(read, partitions_def=HOURS)
    run(written, reader, io_manager=io_manager, partition_key="2026-01-01-03:00")

    (back,) = loaded
    if frame is pl.LazyFrame:
        assert back.collect().schema == back.collect_schema()
    elif frame is pa.RecordBatchReader:
        assert back.read_all().to_pylist() == times.to_pylist()
    elif frame is pa.Table:
        assert back.schema.field("struct").type == times.schema.field("struct").type
        assert back.to_pylist() == times.to_pylist()
    else:
        assert len(back) == 1


@pytest.mark.parametrize("frame", [pl.DataFrame, pl.LazyFrame])
@pytest.mark.parametrize("value", ["[INTERVAL 1 DAY]", "union_value(k := 1)"])
def test_what_polars_cannot_hold_is_named(
    io_manager: DuckDBPolarsIOManager, query: Query, frame: type[Any], value: str
) -> None:
    query(f"CREATE TABLE odd AS SELECT 1 AS n, {value} AS odd")

    def read(odd) -> None: ...

    read.__annotations__ = {"odd": frame, "return": None}
    said = failure(run(dg.AssetSpec("odd"), dg.asset(read), io_manager=io_manager, ok=False))

    assert "A frame of Polars cannot hold" in said
    assert "odd (" in said
    assert "pyarrow.Table" in said


def test_what_pandas_cannot_hold_is_named(io_manager: DuckDBPolarsIOManager, query: Query) -> None:
    query("CREATE TABLE odd AS SELECT 1 AS n, union_value(k := 1) AS odd")

    @dg.asset
    def read(odd: pd.DataFrame) -> None: ...

    said = failure(run(dg.AssetSpec("odd"), read, io_manager=io_manager, ok=False))

    assert "A frame of pandas cannot hold" in said
    assert "odd (sparse_union" in said


def test_arrow_tables_come_back_equal(io_manager: DuckDBPolarsIOManager) -> None:
    kinds = pa.array([0, 1], pa.int8())
    either = pa.UnionArray.from_sparse(kinds, [pa.array([1, 2]), pa.array(["a", "b"])])
    table = pa.table(
        {
            "union": either,
            "n": [1, 2],
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        }
    )

    back = round_trip(table, io_manager)

    assert isinstance(back, pa.Table)
    assert back.to_pylist() == table.to_pylist()


def test_streams_pass_through_and_are_never_all_in_memory(database: str) -> None:
    batch = pa.record_batch({"n": range(50_000), "text": ["x" * 100] * 50_000})
    count = 40
    most = 0

    def watched(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal most
        for each in batches:
            most = max(most, pa.total_allocated_bytes())
            yield each

    @dg.asset
    def source() -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(batch.schema, watched(batch for _ in range(count)))

    @dg.asset
    def passed(source: pa.RecordBatchReader) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(source.schema, watched(source))

    @dg.asset
    def counted(passed: pl.LazyFrame) -> None:
        assert passed.select(pl.col("n").sum()).collect().item() == sum(range(50_000)) * count

    before = pa.total_allocated_bytes()
    result = run(source, passed, counted, io_manager=DuckDBPolarsIOManager(database=database))

    assert metadata(result, "passed")["dagster/row_count"] == 50_000 * count
    assert most - before < count * batch.nbytes / 10


def test_a_stream_that_is_dropped_leaves_the_file_free(database: str, query: Query) -> None:
    @dg.asset
    def source() -> pl.DataFrame:
        return pl.DataFrame({"n": range(300_000)})

    @dg.asset
    def never_read(source: pa.RecordBatchReader) -> None:
        del source

    @dg.asset
    def half_read(source: pa.RecordBatchReader) -> None:
        source.read_next_batch()
        source.close()
        del source
        gc.collect()

    run(source, never_read, half_read, io_manager=DuckDBPolarsIOManager(database=database))

    assert query("SELECT count(*) FROM public.source") == [(300_000,)]


def test_a_stream_that_fails_says_why(database: str) -> None:
    schema = pa.schema([("n", pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([pa.array([1])], schema=schema)
        raise KeyError("page 7 of the API")

    @dg.asset
    def source() -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(schema, batches())

    said = failure(run(source, io_manager=DuckDBPolarsIOManager(database=database), ok=False))

    assert "dev.public.source was not written" in said
    assert "page 7 of the API" in said


def test_whatever_exports_an_arrow_stream_can_be_written(
    database: str, io_manager: DuckDBPolarsIOManager
) -> None:
    class Exports:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pa.table({"n": [1, 2]}).__arrow_c_stream__(requested_schema)

    back = round_trip(Exports(), io_manager, pl.DataFrame)

    assert back["n"].to_list() == [1, 2]


def test_a_relation_of_duckdb_can_be_written(io_manager: DuckDBPolarsIOManager) -> None:
    import duckdb

    with duckdb.connect() as elsewhere:
        back = round_trip(elsewhere.sql("SELECT 7 AS n"), io_manager, pl.DataFrame)

    assert back["n"].to_list() == [7]


@pytest.mark.parametrize(
    "query", ["SELECT 1 AS n", "SELECT CAST('x' AS INTEGER) AS n FROM (VALUES (1))"]
)
def test_a_relation_that_gives_nothing_any_more_says_so(
    io_manager: DuckDBPolarsIOManager, query: str
) -> None:
    import duckdb

    elsewhere = duckdb.connect()
    relation = elsewhere.sql(query)
    if "CAST" not in query:
        elsewhere.close()

    @dg.asset
    def bad():
        return relation

    said = failure(run(bad, io_manager=io_manager, ok=False))

    assert "The DuckDBPyRelation cannot be read as Arrow" in said
    assert "needs its connection" in said


def test_a_frame_of_one_library_is_loaded_as_one_of_another(
    io_manager: DuckDBPolarsIOManager,
) -> None:
    back = round_trip(pd.DataFrame({"n": [1]}), io_manager, pa.Table)

    assert back.to_pylist() == [{"n": 1}]


def test_an_input_without_annotation_is_the_managers_own_frame(
    io_manager: DuckDBPolarsIOManager,
) -> None:
    back = round_trip(pd.DataFrame({"n": [1]}), io_manager, Any)

    assert isinstance(back, pl.DataFrame)


def test_a_subclass_of_a_frame_is_a_frame(io_manager: DuckDBPolarsIOManager) -> None:
    class Special(pd.DataFrame):
        pass

    back = round_trip(Special({"n": [1]}), io_manager, pd.DataFrame)

    assert back["n"].tolist() == [1]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"mixed": [1, "a"]}), "mixed"),
        (pl.DataFrame({"objects": [object()]}), "objects"),
        (pl.DataFrame({"huge": pl.Series([1], dtype=pl.Int128)}), "huge (Int128)"),
        (pa.table({"wide": pa.array([None], pa.decimal256(50, 2))}), "wide: decimal256(50, 2)"),
        (pa.table([[1], [2]], names=["N", "n"]), "'N' and 'n'"),
        (pa.table([[1]], names=[""]), "has no name"),
    ],
    ids=["mixed", "objects", "huge", "wide", "case", "nameless"],
)
def test_a_frame_that_cannot_be_stored_says_which_column(
    io_manager: DuckDBPolarsIOManager, frame: Any, said: str
) -> None:
    @dg.asset
    def bad():
        return frame

    assert said in failure(run(bad, io_manager=io_manager, ok=False))


def test_a_frame_without_columns_makes_no_table_and_says_so(
    io_manager: DuckDBPolarsIOManager, query: Query, capfd: pytest.CaptureFixture[str]
) -> None:
    @dg.asset
    def empty() -> pd.DataFrame:
        return pd.DataFrame()

    run(empty, io_manager=io_manager)

    assert query("SELECT count(*) FROM information_schema.tables") == [(0,)]
    assert "The frame for dev.main.empty has no columns" in capfd.readouterr().err
