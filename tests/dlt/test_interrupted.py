"""A load that was killed, or gave up, goes on where it stopped: each row is there exactly once."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import dlt
import duckdb
import pytest
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    DagsterExecutionInterruptedError,
    DailyPartitionsDefinition,
    RetryPolicy,
    materialize,
)
from dlt.common.runtime.collector import Collector

from dagweave.dlt import DagsterDltResource, dlt_assets
from dagweave.dlt.held_folder import hold_folder

DAILY = DailyPartitionsDefinition("2026-01-01")

# A process of its own loads some days, and is killed by its kernel at a moment of the load.
SCRIPT = """
import os, signal, sys
import dlt
from dagster import AssetExecutionContext, DailyPartitionsDefinition, materialize
from dlt.load.load import Load
from dagweave.dlt import DagsterDltResource, dlt_assets

moment, days, partition, gently = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]

def end(*arguments, **keywords):
    if gently:
        raise KeyboardInterrupt
    os.kill(os.getpid(), signal.SIGKILL)

if moment:
    setattr(Load, moment, end)

@dlt.source
def site():
    @dlt.resource(write_disposition="append")
    def log(cursor=dlt.sources.incremental("day", initial_value=0)):
        yield [{"day": day} for day in range(cursor.last_value, days)]

    @dlt.resource(write_disposition="append")
    def hits():
        yield [{"hits": days}]

    return (hits,) if partition else (log,)

@dlt_assets(
    dlt_source=site(),
    dlt_pipeline=dlt.pipeline(
        "site",
        destination=dlt.destinations.duckdb("wh.duckdb"),
        dataset_name="raw",
        pipelines_dir="pipelines",
    ),
    name="site",
    partitions_def=DailyPartitionsDefinition("2026-01-01") if partition else None,
)
def loaded(context: AssetExecutionContext, dlt: DagsterDltResource):
    yield from dlt.run(context=context)

result = materialize(
    [loaded],
    resources={"dlt": DagsterDltResource()},
    partition_key=partition or None,
)
for event in result.get_asset_materialization_events():
    print("loaded", event.materialization.metadata.get("rows_loaded"))
"""


def run(*, days: int, killed_at: str = "", partition: str = "", gently: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, killed_at, str(days), partition, gently],
        capture_output=True,
        text=True,
        check=False,
    )
    if killed_at and gently:
        assert "KeyboardInterrupt" in done.stderr
    else:
        assert done.returncode == (-signal.SIGKILL if killed_at else 0), done.stderr
    return done.stdout + done.stderr


def folders() -> list[Path]:
    return list(Path("pipelines/.dagweave").iterdir())


def test_rows_of_a_killed_load_are_there_once_after_the_next_run(query):
    run(days=2)
    run(days=4, killed_at="complete_package")
    said = run(days=5)

    assert query("SELECT day, count(*) FROM raw.log GROUP BY day ORDER BY day") == [
        (day, 1) for day in range(5)
    ]
    assert query("SELECT count(*) FROM raw._dlt_loads") == [(3,)]
    assert "goes on" in said
    assert folders() == []


def test_so_they_are_where_the_first_load_of_all_was_cancelled(query):
    run(days=4, killed_at="complete_package", gently="yes")
    run(days=4)

    assert query("SELECT day, count(*) FROM raw.log GROUP BY day ORDER BY day") == [
        (day, 1) for day in range(4)
    ]
    assert folders() == []


def test_the_rows_of_a_partition_that_was_killed_are_not_extracted_again(query):
    run(days=1, partition="2026-01-01", killed_at="complete_package")
    run(days=2, partition="2026-01-02")
    run(days=3, partition="2026-01-01")

    assert query("SELECT hits FROM raw.hits ORDER BY hits") == [(1,), (2,)]
    assert folders() == []


def test_what_was_killed_before_it_loaded_anything_is_extracted_afresh(query):
    run(days=1, partition="2026-01-01", killed_at="initialize_package")
    run(days=3, partition="2026-01-01")

    assert query("SELECT hits FROM raw.hits") == [(3,)]
    assert folders() == []


SUNK: list[tuple[str, int]] = []
FAILING: list[Exception] = []


@dlt.destination(name="sink", batch_size=1)
def sink(items, table):
    if table["name"] == "bad" and FAILING:
        raise FAILING.pop()
    SUNK.extend((table["name"], item["n"]) for item in items)


@dlt.source
def two_tables(n: int):
    return (
        dlt.resource([{"n": n}], name="good", write_disposition="append"),
        dlt.resource([{"n": n}], name="bad", write_disposition="append"),
    )


@pytest.fixture
def two(make_pipeline, monkeypatch) -> AssetsDefinition:
    """Loads two tables, by day; each attempt extracts its own rows."""
    return counting(make_pipeline(), monkeypatch, partitions_def=DAILY)


def counting(pipeline: dlt.Pipeline, monkeypatch, **settings) -> AssetsDefinition:
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "1")
    attempts = itertools.count()

    @dlt_assets(dlt_source=two_tables(0), dlt_pipeline=pipeline, name="two", **settings)
    def loaded(context: AssetExecutionContext, dlt: DagsterDltResource):
        yield from dlt.run(context=context, dlt_source=two_tables(next(attempts)))

    return loaded


def test_a_load_that_gave_up_goes_on_with_the_next_attempt(two, load, query, warehouse):
    load(two, partition_key="2026-01-01")
    with duckdb.connect(str(warehouse)) as direct:
        # An error of the kind that dlt takes for one that passes.
        direct.execute("CREATE SEQUENCE two MAXVALUE 2; SELECT nextval('two')")
        direct.execute("ALTER TABLE raw.bad ADD COLUMN used_up BIGINT DEFAULT nextval('two')")

    failed = load(two, partition_key="2026-01-02", raise_on_error=False)

    assert "Sequence Error" in failed.complaint
    assert "the next attempt of this step goes on from there" in failed.complaint
    assert query("SELECT n FROM raw.good ORDER BY n") == [(0,), (1,)]

    with duckdb.connect(str(warehouse)) as direct:
        direct.execute("ALTER TABLE raw.bad DROP COLUMN used_up")
    loaded = load(two, partition_key="2026-01-02")

    assert query("SELECT n FROM raw.good ORDER BY n") == [(0,), (1,)]
    assert query("SELECT n FROM raw.bad ORDER BY n") == [(0,), (1,)]
    assert loaded.metadata["two/good"]["rows_loaded"] == 1
    assert folders() == []


def test_rows_that_the_destination_refuses_are_neither_retried_nor_kept(
    make_pipeline, monkeypatch, load, query, warehouse
):
    two = counting(make_pipeline(), monkeypatch, retry_policy=RetryPolicy(max_retries=1))
    load(two)
    with duckdb.connect(str(warehouse)) as direct:
        direct.execute("CREATE UNIQUE INDEX halves ON raw.bad ((n // 2))")

    failed = load(two, raise_on_error=False)

    assert failed.complaint.startswith("Refused: dlt pipeline 'shop' failed when it loaded")
    assert failed.result.retry_attempts_for_node("two") == 0
    assert folders() == []

    load(two)

    assert query("SELECT n FROM raw.bad ORDER BY n") == [(0,), (2,)]


def test_where_dlt_keeps_no_state_a_load_that_gave_up_goes_on_as_well(
    make_pipeline, monkeypatch, load
):
    SUNK.clear()
    FAILING[:] = [ConnectionResetError("hung up")]
    pipeline = make_pipeline(destination=sink, dataset_name=None)

    load(counting(pipeline, monkeypatch, retry_policy=RetryPolicy(max_retries=1)))

    assert sorted(SUNK) == [("bad", 0), ("good", 0)]


def test_what_was_kept_for_one_step_is_not_taken_up_while_another_process_holds_it(tmp_path):
    with_rows = hold_folder(tmp_path, "step")
    (with_rows.path / "rows").touch()
    other = hold_folder(tmp_path, "step")
    with_rows.leave()

    taken = hold_folder(tmp_path, "step")

    assert other.path != with_rows.path == taken.path
    assert (taken.path / "rows").exists()
    other.discard()
    taken.discard()
    assert list(tmp_path.iterdir()) == []


class InterruptedAtTheEnd(Collector):
    """Progress, as a user may give it, that sees Ctrl-C when nothing of a load is left to do."""

    def update(self, *args: object, **options: object) -> None: ...

    def _start(self, step: str) -> None: ...

    def _stop(self) -> None:
        if (self.step or "").startswith("Load"):
            os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_that_comes_as_a_load_ends_is_not_lost(tmp_path: Path):
    pipeline = dlt.pipeline(
        "site",
        destination=dlt.destinations.duckdb(str(tmp_path / "wh.duckdb")),
        pipelines_dir=str(tmp_path / "pipelines"),
        progress=InterruptedAtTheEnd(),
    )

    @dlt.resource
    def hits():
        yield [{"n": 1}]

    @dlt_assets(dlt_source=dlt.source(lambda: hits, name="site")(), dlt_pipeline=pipeline)
    def loaded(context: AssetExecutionContext, dlt: DagsterDltResource):
        yield from dlt.run(context=context)

    with pytest.raises(DagsterExecutionInterruptedError):
        materialize([loaded], resources={"dlt": DagsterDltResource()})
