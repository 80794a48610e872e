"""Partitions of every kind, written and read as slices of a table."""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
import pytest

from dagweave.duckdb import DuckDBPolarsIOManager
from duckdb_runs import Query, failure, metadata, run

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")
MONTHS = dg.MonthlyPartitionsDefinition("2026-01-01", end_date="2027-01-01")
REGIONS = dg.StaticPartitionsDefinition(["eu", "us", "it's"])


def span(start: str, end: str) -> dict[str, str]:
    """The tags of a backfill that runs as one run."""
    return {
        "dagster/asset_partition_range_start": start,
        "dagster/asset_partition_range_end": end,
    }


@pytest.fixture
def daily() -> dg.AssetsDefinition:
    """A row for each day, with the run that wrote it."""

    @dg.asset(
        partitions_def=DAYS,
        metadata={"partition_expr": "day"},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def daily(context) -> pl.DataFrame:
        days = [dt.date.fromisoformat(key) for key in context.partition_keys]
        return pl.DataFrame({"day": days, "run": [context.run.run_id] * len(days)})

    return daily


@pytest.fixture
def io_manager(database: str) -> DuckDBPolarsIOManager:
    return DuckDBPolarsIOManager(database=database, schema="main")


def test_a_partition_is_replaced_and_the_others_stay(
    daily: dg.AssetsDefinition, io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    run(daily, io_manager=io_manager, partition_key="2026-01-05")
    other = run(daily, io_manager=io_manager, partition_key="2026-01-06")
    again = run(daily, io_manager=io_manager, partition_key="2026-01-05")

    assert query("SELECT day::VARCHAR, run FROM daily ORDER BY day") == [
        ("2026-01-05", again.run_id),
        ("2026-01-06", other.run_id),
    ]
    found = metadata(again, "daily")
    assert found["dagster/partition_row_count"] == 1
    assert found["dagweave/rows_deleted"] == 1
    assert "dagster/row_count" not in found
    assert found["Query"] == (
        'SELECT * FROM "dev"."main"."daily" WHERE "day" >= TIMESTAMP \'2026-01-05 00:00:00\' '
        "AND \"day\" < TIMESTAMP '2026-01-06 00:00:00'"
    )


def test_a_backfill_in_one_run_replaces_its_partitions_in_one_write(
    daily: dg.AssetsDefinition, io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    run(daily, io_manager=io_manager, tags=span("2026-01-01", "2026-01-31"))
    again = run(daily, io_manager=io_manager, tags=span("2026-01-10", "2026-01-12"))

    assert query(f"SELECT run = '{again.run_id}', count(*) FROM daily GROUP BY 1 ORDER BY 1") == [
        (False, 28),
        (True, 3),
    ]
    events = again.asset_materializations_for_node("daily")
    assert [event.partition for event in events] == ["2026-01-10", "2026-01-11", "2026-01-12"]
    assert {event.metadata["dagweave/rows_written"].value for event in events} == {3}


def test_a_run_of_no_partition_replaces_none(
    daily: dg.AssetsDefinition, io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"}, key="daily")
    def forgetful() -> pl.DataFrame:
        return pl.DataFrame({"day": [dt.date(2026, 1, 1)], "run": ["x"]})

    run(daily, io_manager=io_manager, partition_key="2026-01-05")
    said = failure(run(forgetful, io_manager=io_manager, ok=False))

    assert "this run is of no partition" in said
    assert query("SELECT count(*) FROM daily") == [(1,)]


def test_a_partitioned_asset_that_does_not_say_by_what_is_told_how(
    io_manager: DuckDBPolarsIOManager,
) -> None:
    @dg.asset(partitions_def=DAYS)
    def silent() -> pl.DataFrame:
        return pl.DataFrame({"day": [1]})

    said = failure(run(silent, io_manager=io_manager, partition_key="2026-01-05", ok=False))

    assert "'silent' has partitions, but no 'partition_expr'" in said
    assert '@asset(metadata={"partition_expr"' in said


def test_static_partitions_are_told_by_their_key(
    io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    @dg.asset(partitions_def=REGIONS, metadata={"partition_expr": "region"})
    def orders(context) -> pl.DataFrame:
        return pl.DataFrame({"region": [context.partition_key], "n": [1]})

    @dg.asset(partitions_def=REGIONS, metadata={"partition_expr": "region"})
    def doubled(orders: pl.DataFrame) -> pl.DataFrame:
        assert len(orders) == 1
        return orders.with_columns(n=pl.col("n") * 2)

    for region in ("eu", "it's", "eu"):
        run(orders, doubled, io_manager=io_manager, partition_key=region)

    assert query("SELECT region, n FROM doubled ORDER BY 1") == [("eu", 2), ("it's", 2)]


def test_dynamic_partitions_may_lie_apart(io_manager: DuckDBPolarsIOManager, query: Query) -> None:
    files = dg.DynamicPartitionsDefinition(name="files")
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("files", ["a", "b", "c"])

    @dg.asset(partitions_def=files, metadata={"partition_expr": "file"})
    def lines(context) -> pl.DataFrame:
        return pl.DataFrame({"file": [context.partition_key]})

    @dg.asset(
        ins={
            "lines": dg.AssetIn(
                partition_mapping=dg.SpecificPartitionsPartitionMapping(["a", "c"]),
            )
        }
    )
    def some(lines: pl.DataFrame) -> None:
        assert sorted(lines["file"]) == ["a", "c"]

    for key in "abc":
        run(lines, io_manager=io_manager, partition_key=key, instance=instance)
    run(lines, some, io_manager=io_manager, selection="some", instance=instance)

    assert query("SELECT count(*) FROM lines") == [(3,)]


GRID = dg.MultiPartitionsDefinition({"day": DAYS, "region": REGIONS})
BY_BOTH = {"partition_expr": {"day": "ts", "region": "region"}}


@dg.asset(partitions_def=GRID, metadata=BY_BOTH)
def grid(context) -> pl.DataFrame:
    key = context.partition_key.keys_by_dimension
    return pl.DataFrame(
        {
            "ts": [dt.datetime.fromisoformat(key["day"])],
            "region": [key["region"]],
            "run": [context.run.run_id],
        }
    )


def test_partitions_of_two_dimensions_are_replaced_by_both(
    io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    points = [
        {"day": day, "region": region}
        for day in ("2026-01-05", "2026-01-06")
        for region in ("eu", "us")
    ]
    for point in [*points, points[0]]:
        last = run(grid, io_manager=io_manager, partition_key=dg.MultiPartitionKey(point))

    assert query("SELECT count(*), count(DISTINCT run) FROM grid") == [(4, 4)]
    assert query(f"SELECT ts::DATE::VARCHAR, region FROM grid WHERE run = '{last.run_id}'") == [
        ("2026-01-05", "eu")
    ]


def test_a_day_of_all_regions_is_read_through_the_mapping(
    io_manager: DuckDBPolarsIOManager,
) -> None:
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "ts"})
    def regions_of_a_day(grid: pl.DataFrame) -> pl.DataFrame:
        assert sorted(grid["region"]) == ["eu", "us"]
        assert grid["ts"].dt.date().unique().to_list() == [dt.date(2026, 1, 5)]
        return grid

    for day in ("2026-01-05", "2026-01-06"):
        for region in ("eu", "us"):
            key = dg.MultiPartitionKey({"day": day, "region": region})
            run(grid, io_manager=io_manager, partition_key=key)

    run(
        grid,
        regions_of_a_day,
        io_manager=io_manager,
        selection="regions_of_a_day",
        partition_key="2026-01-05",
    )


@pytest.mark.parametrize(
    "expression", ["at", {"day": "at"}, {"day": "at", "region": "region", "planet": "x"}, 7]
)
def test_an_expression_that_does_not_suit_the_dimensions_is_told_so(
    io_manager: DuckDBPolarsIOManager, expression: Any
) -> None:
    @dg.asset(partitions_def=GRID, metadata={"partition_expr": expression})
    def wrong() -> pl.DataFrame:
        return pl.DataFrame({"at": [1], "region": ["eu"]})

    key = dg.MultiPartitionKey({"day": "2026-01-05", "region": "eu"})
    said = failure(run(wrong, io_manager=io_manager, partition_key=key, ok=False))

    assert "does not suit its partitions" in said
    assert "'day': 'column', 'region': 'column'" in said


def test_the_first_partition_of_an_asset_that_reads_itself_reads_nothing(
    io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
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
        before = total["n"].sum() if len(total) else 0
        return pl.DataFrame(
            {"day": [dt.date.fromisoformat(context.partition_key)], "n": [before + 1]}
        )

    for key in ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-01"):
        run(total, io_manager=io_manager, partition_key=key)

    assert query("SELECT n FROM total ORDER BY day") == [(1,), (2,), (3,)]


def test_a_frame_of_no_records_empties_its_partition(
    daily: dg.AssetsDefinition, io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"}, key="daily")
    def nothing_today() -> pl.DataFrame:
        return pl.DataFrame([])

    run(nothing_today, io_manager=io_manager, partition_key="2026-01-05")
    assert query("SELECT count(*) FROM information_schema.tables") == [(0,)]

    run(daily, io_manager=io_manager, tags=span("2026-01-05", "2026-01-06"))
    run(nothing_today, io_manager=io_manager, partition_key="2026-01-05")
    assert query("SELECT day::VARCHAR FROM daily") == [("2026-01-06",)]


def test_all_partitions_of_a_table_need_no_expression(
    io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    query("CREATE SCHEMA raw; CREATE TABLE raw.events AS SELECT 1 AS n FROM range(3)")
    files = dg.DynamicPartitionsDefinition(name="some_files")
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("some_files", ["a", "b"])

    @dg.asset
    def count(events: pl.DataFrame) -> None:
        assert len(events) == 3

    for definition in (DAYS, GRID, files):
        events = dg.AssetSpec(
            "events", partitions_def=definition, metadata={"dagster/table_name": "raw.events"}
        )
        run(events, count, io_manager=io_manager, instance=instance)


def test_some_partitions_of_a_table_need_an_expression(
    io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    query("CREATE SCHEMA raw; CREATE TABLE raw.events AS SELECT 1 AS n FROM range(3)")
    events = dg.AssetSpec(
        "events", partitions_def=DAYS, metadata={"dagster/table_name": "raw.events"}
    )

    @dg.asset(partitions_def=DAYS)
    def count(events: pl.DataFrame) -> None: ...

    said = failure(run(events, count, io_manager=io_manager, partition_key="2026-01-05", ok=False))

    assert "'events' has partitions, but no 'partition_expr'" in said


class TestASliceOfATableWithoutPartitions:
    """New here: the input says how, the step says which."""

    @pytest.fixture
    def mart(self, query: Query) -> dg.AssetSpec:
        query(
            "CREATE SCHEMA marts; CREATE TABLE marts.fct AS SELECT "
            "DATE '2026-01-01' + i::INTEGER AS day, i AS n, if(i % 2 = 0, 'eu', 'us') AS region "
            "FROM range(365) t(i)"
        )
        return dg.AssetSpec("fct", metadata={"dagster/table_name": "dev.marts.fct"})

    def test_is_read_by_the_partition_of_the_step(
        self, io_manager: DuckDBPolarsIOManager, mart: dg.AssetSpec, query: Query
    ) -> None:
        @dg.asset(
            partitions_def=MONTHS,
            metadata={"partition_expr": "month"},
            ins={"fct": dg.AssetIn(metadata={"partition_expr": "day", "columns": ["day", "n"]})},
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
        def monthly(fct: pl.DataFrame) -> pl.DataFrame:
            return fct.group_by(month=pl.col("day").dt.truncate("1mo")).agg(
                days=pl.len().cast(pl.Int64)
            )

        run(mart, monthly, io_manager=io_manager, partition_key="2026-02-01")
        assert query("SELECT month::VARCHAR, days FROM monthly") == [("2026-02-01", 28)]

        run(mart, monthly, io_manager=io_manager, tags=span("2026-01-01", "2026-12-01"))
        assert query("SELECT count(*), sum(days) FROM monthly") == [(12, 365)]

    def test_is_read_by_the_dimensions_that_the_input_names(
        self, io_manager: DuckDBPolarsIOManager, mart: dg.AssetSpec
    ) -> None:
        seen: list[int] = []

        def asset_with(expression: Any) -> Any:
            @dg.asset(
                partitions_def=GRID,
                ins={"fct": dg.AssetIn(metadata={"partition_expr": expression})},
            )
            def reads(fct: pl.DataFrame) -> None:
                seen.append(len(fct))

            return reads

        key = dg.MultiPartitionKey({"day": "2026-01-05", "region": "us"})
        for expression in (
            {"day": "day"},
            {"region": "region"},
            {"day": "day", "region": "region"},
        ):
            run(mart, asset_with(expression), io_manager=io_manager, partition_key=key)

        assert seen == [1, 182, 0]

    def test_is_read_whole_where_the_input_says_nothing(
        self, io_manager: DuckDBPolarsIOManager, mart: dg.AssetSpec
    ) -> None:
        @dg.asset(partitions_def=MONTHS)
        def reads(fct: pl.DataFrame) -> None:
            assert len(fct) == 365

        run(mart, reads, io_manager=io_manager, partition_key="2026-02-01")

    def test_cannot_be_read_by_partitions_that_nobody_has(
        self, io_manager: DuckDBPolarsIOManager, mart: dg.AssetSpec
    ) -> None:
        @dg.asset(ins={"fct": dg.AssetIn(metadata={"partition_expr": "day"})})
        def reads(fct: pl.DataFrame) -> None: ...

        said = failure(run(mart, reads, io_manager=io_manager, ok=False))

        assert "nothing is partitioned" in said

    def test_gives_its_expression_to_a_partitioned_upstream_that_has_none(
        self, io_manager: DuckDBPolarsIOManager, mart: dg.AssetSpec
    ) -> None:
        partitioned = mart.replace_attributes(partitions_def=MONTHS)

        @dg.asset(
            partitions_def=MONTHS, ins={"fct": dg.AssetIn(metadata={"partition_expr": "day"})}
        )
        def reads(fct: pl.DataFrame) -> None:
            assert len(fct) == 28

        run(partitioned, reads, io_manager=io_manager, partition_key="2026-02-01")


HOURS = dg.HourlyPartitionsDefinition("2026-01-01-00:00", timezone="America/New_York")
NEW_YORK = ZoneInfo("America/New_York")


def hourly(column: str, expression: str, zone: str | None) -> Any:
    """An asset with one row for each hour, its time written in `zone` or, if `None`, without one."""

    @dg.asset(partitions_def=HOURS, metadata={"partition_expr": expression})
    def events(context) -> pl.DataFrame:
        start = context.partition_time_window.start
        moment = start.astimezone(ZoneInfo(zone)) if zone else start.replace(tzinfo=None)
        times = pl.Series(column, [moment])
        return pl.DataFrame([times, pl.Series("key", [context.partition_key])])

    return events


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        pytest.param("ts", "UTC", id="instants in UTC"),
        pytest.param("ts", "America/New_York", id="instants in New York"),
        pytest.param("ts", None, id="the wall clock of New York"),
        pytest.param("CAST(ts AS TIMESTAMP)", "UTC", id="cast to the wall clock"),
        pytest.param("strptime(key, '%Y-%m-%d-%H:%M')", "UTC", id="the key read as a time"),
    ],
)
def test_writing_an_hour_of_new_york_never_touches_another(
    io_manager: DuckDBPolarsIOManager,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
    expression: str,
    zone: str | None,
) -> None:
    """The official package deleted 00:00 when 05:00 was written."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    events = hourly("ts", expression, zone)

    for hour in (0, 5, 10, 5):
        run(events, io_manager=io_manager, partition_key=f"2026-01-05-{hour:02}:00")

    assert query("SELECT key FROM events ORDER BY key") == [
        ("2026-01-05-00:00",),
        ("2026-01-05-05:00",),
        ("2026-01-05-10:00",),
    ]


def test_times_in_utc_without_a_zone_are_refused_until_the_expression_says_so(
    io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    def in_utc(expression: str) -> Any:
        @dg.asset(partitions_def=HOURS, metadata={"partition_expr": expression})
        def events(context) -> pl.DataFrame:
            start = context.partition_time_window.start.astimezone(dt.UTC)
            return pl.DataFrame({"ts": [start.replace(tzinfo=None)]})

        return events

    said = failure(
        run(in_utc("ts"), io_manager=io_manager, partition_key="2026-01-05-05:00", ok=False)
    )
    assert "America/New_York" in said
    assert "ts AT TIME ZONE 'UTC'" in said

    for hour in (0, 5, 0):
        run(
            in_utc("ts AT TIME ZONE 'UTC'"),
            io_manager=io_manager,
            partition_key=f"2026-01-05-{hour:02}:00",
        )
    assert query("SELECT hour(ts) FROM events ORDER BY 1") == [(5,), (10,)]


def test_the_two_hours_of_a_night_when_clocks_go_back_are_two_partitions(
    io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    events = hourly("ts", "ts", "UTC")
    first = dt.datetime(2026, 11, 1, 1, tzinfo=NEW_YORK)
    night = [first.replace(hour=0), first, first.replace(fold=1), first.replace(hour=2)]
    wanted = [HOURS.get_partition_key_for_timestamp(moment.timestamp()) for moment in night]

    for key in [*wanted, wanted[1], wanted[2]]:
        run(events, io_manager=io_manager, partition_key=key)

    assert len(set(wanted)) == 4
    assert sorted(row[0] for row in query("SELECT key FROM events")) == sorted(wanted)


@pytest.mark.parametrize(
    ("values", "expression"),
    [
        (["2026-01-05"], "day"),
        (["2026-01-05 13:00:00"], "day"),
        (["05/01/2026"], "strptime(day, '%d/%m/%Y')"),
    ],
)
def test_days_kept_as_text_are_told_apart(
    io_manager: DuckDBPolarsIOManager, query: Query, values: list[str], expression: str
) -> None:
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": expression})
    def texts() -> pl.DataFrame:
        return pl.DataFrame({"day": values})

    for _ in range(2):
        run(texts, io_manager=io_manager, partition_key="2026-01-05")

    assert query("SELECT count(*) FROM texts") == [(1,)]


@pytest.mark.parametrize("before", ["no table", "other text"])
@pytest.mark.parametrize("expression", ["day", "strptime(day, '%d.%m.%Y')"])
def test_text_that_is_no_time_is_told_to_be_read(
    io_manager: DuckDBPolarsIOManager, query: Query, before: str, expression: str
) -> None:
    if before == "other text":
        query("CREATE TABLE texts AS SELECT 'week 1' AS day")
    tables = query("SELECT count(*) FROM information_schema.tables")

    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": expression})
    def texts() -> pl.DataFrame:
        return pl.DataFrame({"day": ["week 2"]})

    said = failure(run(texts, io_manager=io_manager, partition_key="2026-01-05", ok=False))

    assert "strptime(column" in said
    assert "ALTER" not in said
    assert query("SELECT count(*) FROM information_schema.tables") == tables


@pytest.mark.parametrize("rows", [10, 3_000_000])
def test_text_that_is_no_time_is_told_to_be_read_where_it_is_loaded(
    io_manager: DuckDBPolarsIOManager, query: Query, rows: int
) -> None:
    query(
        f"CREATE TABLE texts AS SELECT if(i = {rows - 1}, 'week 1', '2026-01-05') AS day "
        f"FROM range({rows}) t(i)"
    )
    texts = dg.AssetSpec("texts", partitions_def=DAYS, metadata={"partition_expr": "day"})

    @dg.asset(partitions_def=DAYS)
    def read(texts: pl.DataFrame) -> None: ...

    said = failure(run(texts, read, io_manager=io_manager, partition_key="2026-01-05", ok=False))

    assert "dev.main.texts was not read" in said
    assert "strptime(column" in said


def test_a_column_may_be_called_like_a_keyword_or_anything(
    io_manager: DuckDBPolarsIOManager, query: Query
) -> None:
    @dg.asset(partitions_def=REGIONS, metadata={"partition_expr": 'order "region"-key'})
    def odd(context) -> pl.DataFrame:
        return pl.DataFrame({'order "region"-key': [context.partition_key]})

    for region in ("eu", "us", "eu"):
        run(odd, io_manager=io_manager, partition_key=region)

    assert query("SELECT count(*) FROM odd") == [(2,)]


def test_rows_of_another_partition_are_warned_of(
    io_manager: DuckDBPolarsIOManager, capfd: pytest.CaptureFixture[str]
) -> None:
    @dg.asset(partitions_def=DAYS, metadata={"partition_expr": "day"})
    def stray() -> pl.DataFrame:
        return pl.DataFrame({"day": [dt.date(2026, 1, 5), dt.date(2026, 1, 6)]})

    result = run(stray, io_manager=io_manager, partition_key="2026-01-05")

    assert metadata(result, "stray")["dagweave/rows_outside_partition"] == 1
    assert "1 of 2 rows written to partition 2026-01-05 of dev.main.stray" in capfd.readouterr().err
