from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import dlt
import pytest
from dagster import (
    AssetExecutionContext,
    BackfillPolicy,
    DagsterInstance,
    DailyPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    StaticPartitionsDefinition,
    materialize,
)

from dagweave.dlt import DagsterDltResource, dlt_assets

DAYS = DailyPartitionsDefinition("2026-01-01", end_date="2026-01-06")
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def rows(cursor: Any = datetime) -> list[dict[str, Any]]:
    """One row at noon of each day."""
    moments = [datetime(2026, 1, day, 12, tzinfo=UTC) for day in range(1, 6)]
    as_cursor = {datetime: lambda m: m, date: lambda m: m.date(), str: lambda m: m.isoformat()}
    return [{"id": m.day, "at": as_cursor[cursor](m)} for m in moments]


@dlt.source
def by_argument():
    @dlt.resource(write_disposition="merge", primary_key="id")
    def clicks(at=dlt.sources.incremental("at", initial_value=FIRST)):  # noqa: B008 -- dlt's way
        yield rows()

    return clicks


@dlt.source
def by_annotation():
    @dlt.resource(write_disposition="merge", primary_key="id")
    def clicks(at: dlt.sources.incremental[date] = dlt.sources.incremental("at")):  # noqa: B008
        yield rows(date)

    return clicks


@dlt.source
def by_hint():
    return dlt.resource(
        rows(),
        name="clicks",
        write_disposition="merge",
        primary_key="id",
        incremental=dlt.sources.incremental("at", initial_value=FIRST),
    )


@dlt.source
def by_call():
    @dlt.resource(write_disposition="merge", primary_key="id")
    def clicks(at: dlt.sources.incremental[datetime] = None):
        yield rows()

    return clicks(at=dlt.sources.incremental("at", initial_value=FIRST))


@dlt.source
def by_later_hint():
    resource = by_annotation().resources["clicks"]
    resource.apply_hints(incremental=dlt.sources.incremental("at", initial_value=FIRST.date()))
    return resource


@dlt.source
def by_step():
    made = dlt.resource(rows(), name="clicks", write_disposition="merge", primary_key="id")
    return made.add_step(dlt.sources.incremental("at", initial_value=FIRST))


SOURCES = [by_argument, by_annotation, by_hint, by_call, by_later_hint, by_step]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
@pytest.mark.parametrize("as_function", [False, True])
def test_a_partition_loads_its_window_in_any_order_and_moves_no_state(
    assets_of, load, query, source, as_function
):
    assets = assets_of(source if as_function else source(), partitions_def=DAYS, name="web")
    seen = []

    for day in ("2026-01-04", "2026-01-02", "2026-01-02"):
        loaded = load(assets, partition_key=day)
        seen.append(loaded.metadata["web/clicks"]["rows_loaded"])

    assert seen == [1, 1, 1]
    assert query("select id from raw.clicks order by id") == [(2,), (4,)]


def test_a_backfill_in_one_run_loads_all_its_days_at_once(make_pipeline, query):
    @dlt_assets(dlt_source=by_argument, dlt_pipeline=make_pipeline(), partitions_def=DAYS)
    def assets(context: AssetExecutionContext, dlt: DagsterDltResource):
        yield from dlt.run(context=context)

    assert assets.backfill_policy == BackfillPolicy.single_run()
    with DagsterInstance.ephemeral() as instance:
        result = materialize(
            [assets],
            resources={"dlt": DagsterDltResource()},
            instance=instance,
            tags={
                "dagster/asset_partition_range_start": "2026-01-02",
                "dagster/asset_partition_range_end": "2026-01-04",
            },
        )

    assert result.success
    assert query("select id from raw.clicks order by id") == [(2,), (3,), (4,)]


def test_the_time_of_a_partition_with_two_dimensions_is_the_window(assets_of, load, query):
    parts = MultiPartitionsDefinition(
        {"day": DAYS, "region": StaticPartitionsDefinition(["eu", "us"])}
    )
    assets = assets_of(by_argument, partitions_def=parts)

    load(assets, partition_key=MultiPartitionKey({"day": "2026-01-03", "region": "eu"}))

    assert query("select id from raw.clicks") == [(3,)]


def test_partitions_that_are_no_times_leave_the_incremental_as_it_is(assets_of, load, query):
    assets = assets_of(by_argument, partitions_def=StaticPartitionsDefinition(["eu"]))

    load(assets, partition_key="eu")

    assert query("select count(*) from raw.clicks") == [(5,)]


def test_a_cursor_that_is_no_time_is_left_alone_and_said(assets_of, load, query, capfd):
    @dlt.source
    def texts():
        @dlt.resource(write_disposition="merge", primary_key="id")
        def clicks(at=dlt.sources.incremental("at", initial_value="2026-01-01")):  # noqa: B008
            yield rows(str)

        return clicks

    load(assets_of(texts, partitions_def=DAYS), partition_key="2026-01-03")

    assert query("select count(*) from raw.clicks") == [(5,)]
    log = capfd.readouterr().err
    assert "is not applied to resource 'clicks': the type of its cursor 'at' is str" in log


def test_append_is_warned_of(assets_of, load, capfd):
    @dlt.source
    def appended():
        @dlt.resource
        def clicks(at=dlt.sources.incremental("at", initial_value=FIRST)):  # noqa: B008
            yield rows()

        return clicks

    load(assets_of(appended, partitions_def=DAYS), partition_key="2026-01-03")

    assert "'append': a partition that is loaded again has its rows twice" in capfd.readouterr().err


def test_an_incremental_may_refuse_the_window(assets_of, load, query):
    @dlt.source
    def own():
        @dlt.resource(write_disposition="merge", primary_key="id")
        def clicks(
            at=dlt.sources.incremental(  # noqa: B008
                "at", initial_value=FIRST, allow_external_schedulers=False
            ),
        ):
            yield rows()

        return clicks

    load(assets_of(own, partitions_def=DAYS), partition_key="2026-01-03")

    assert query("select count(*) from raw.clicks") == [(5,)]


def test_the_source_of_the_definition_is_as_it_was_after_a_run(assets_of, load, query):
    source = by_argument()
    wrapper = source.resources["clicks"].incremental
    before = dict(vars(wrapper))

    load(assets_of(source, partitions_def=DAYS), partition_key="2026-01-03")

    assert vars(wrapper) == before
    # Without partitions it loads all there is.
    load(assets_of(source))
    assert query("select count(*) from raw.clicks") == [(5,)]


def test_three_partitions_at_once_in_one_process_all_load(assets_of, load, query):
    assets = assets_of(by_argument(), partitions_def=DAYS, name="web")

    with ThreadPoolExecutor(3) as threads:
        days = [f"2026-01-0{day}" for day in (1, 3, 5)]
        loaded = list(threads.map(lambda day: load(assets, partition_key=day), days))

    assert [each.metadata["web/clicks"]["rows_loaded"] for each in loaded] == [1, 1, 1]
    assert query("select id from raw.clicks order by id") == [(1,), (3,), (5,)]
