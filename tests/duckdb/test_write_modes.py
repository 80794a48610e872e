"""How rows are written, as the settings, the asset's metadata and the output's say it."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest

from dagweave._kernel.errors import InvalidInput
from dagweave.duckdb import DuckDBPolarsIOManager
from dagweave.warehouse import Query
from duckdb_runs import failure, metadata, run

Ask = Callable[[str], list[Any]]

pytestmark = pytest.mark.filterwarnings("ignore:Parameter `backfill_policy`")

COUNTRIES = dg.StaticPartitionsDefinition(["FR", "US", "DE"])


def an_asset(frame: Any, **metadata: Any) -> dg.AssetsDefinition:
    @dg.asset(name="orders", key_prefix="shop", metadata=metadata)
    def orders():
        return frame

    return orders


def by_country(frame: Any, **metadata: Any) -> dg.AssetsDefinition:
    @dg.asset(
        name="orders",
        key_prefix="shop",
        partitions_def=COUNTRIES,
        backfill_policy=dg.BackfillPolicy.single_run(),
        metadata={"partition_expr": "country", **metadata},
    )
    def orders() -> Any:
        return frame

    return orders


ONE = pl.DataFrame({"id": [1], "n": [1]})


def test_the_output_s_word_goes_before_the_asset_s_before_the_io_manager_s(
    database: str, query: Ask
):
    manager = DuckDBPolarsIOManager(database=database, write_mode="append")

    run(an_asset(ONE), io_manager=manager)
    run(an_asset(ONE), io_manager=manager)
    assert query("SELECT count(*) FROM shop.orders") == [(2,)]

    run(an_asset(ONE, write_mode="merge", merge_keys="id"), io_manager=manager)
    assert query("SELECT count(*) FROM shop.orders") == [(2,)]

    output = dg.Output(ONE, metadata={"write_mode": "replace"})
    run(an_asset(output, write_mode="append"), io_manager=manager)
    assert query("SELECT count(*) FROM shop.orders") == [(1,)]


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ({"write_mode": "upsert"}, r"write_mode.*'upsert'(?s:.*)merge"),
        ({"schema_policy": "loose"}, r"schema_policy.*'loose'(?s:.*)widen"),
        ({"rows_outside": "ignore"}, r"rows_outside.*'ignore'(?s:.*)drop"),
        ({"write_mode": "merge"}, "merge_keys"),
        ({"write_mode": "merge", "merge_keys": 3}, "merge_keys"),
        ({"write_mode": "merge", "merge_keys": "id", "delete_unmatched": "yes"}, "delete_unmatch"),
        ({"write_mode": "replace_partition"}, "whole table"),
    ],
    ids=str,
)
def test_what_there_is_not_is_named_with_what_there_is(
    database: str, said: dict[str, Any], seen: str
):
    manager = DuckDBPolarsIOManager(database=database)
    run(an_asset(ONE), io_manager=manager)

    result = run(an_asset(ONE, **said), io_manager=manager, ok=False)

    assert re.search(seen, failure(result))
    assert "shop" in failure(result)


def test_a_setting_that_there_is_not_is_refused_before_anything_runs(database: str):
    with pytest.raises(InvalidInput, match="DuckDBPolarsIOManager has a write_mode"):
        DuckDBPolarsIOManager(database=database, write_mode="x")


def test_a_step_that_is_retried_appends_once(database: str, query: Ask, tmp_path: Path):
    failed = tmp_path / "failed"

    @dg.asset(key_prefix="shop", metadata={"write_mode": "append"}, retry_policy=dg.RetryPolicy(1))
    def orders() -> Iterator[Any]:
        yield dg.Output(ONE)
        # The rows are written by now.
        if not failed.exists():
            failed.touch()
            raise ValueError("broken off")

    manager = DuckDBPolarsIOManager(database=database)
    run(orders, io_manager=manager)
    assert failed.exists()
    assert query("SELECT count(*) FROM shop.orders") == [(1,)]

    run(orders, io_manager=manager)
    assert query("SELECT count(*) FROM shop.orders") == [(2,)]


DATABASE, BREAKING = "DAGWEAVE_TEST_DATABASE", "DAGWEAVE_TEST_BREAKING"


def appending_job() -> dg.JobDefinition:
    @dg.asset(key_prefix="shop", metadata={"write_mode": "append"})
    def orders() -> Iterator[Any]:
        yield dg.Output(ONE)
        # The rows are written by now.
        if BREAKING in os.environ:
            raise ValueError("broken off")

    manager = DuckDBPolarsIOManager(database=os.environ[DATABASE])
    defs = dg.Definitions(
        [orders],
        jobs=[dg.define_asset_job("append")],
        resources={"io_manager": manager},
        executor=dg.in_process_executor,
    )
    return defs.resolve_job_def("append")


def test_a_run_that_takes_up_a_failed_one_appends_once(
    database: str, query: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(DATABASE, database)
    monkeypatch.setenv(BREAKING, "1")
    job = dg.reconstructable(appending_job)

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        def taken_up(run_id: str) -> tuple[str, bool]:
            options = dg.ReexecutionOptions.from_failure(run_id, instance)
            with dg.execute_job(job, instance, reexecution_options=options) as result:
                return result.run_id, result.success

        with dg.execute_job(job, instance) as first:
            assert not first.success
        second, succeeded = taken_up(first.run_id)
        assert not succeeded
        monkeypatch.delenv(BREAKING)
        _, succeeded = taken_up(second)
        assert succeeded
        assert query("SELECT count(*) FROM shop.orders") == [(1,)]

        options = dg.ReexecutionOptions(first.run_id)
        with dg.execute_job(job, instance, reexecution_options=options) as again:
            assert again.success
    assert query("SELECT count(*) FROM shop.orders") == [(2,)]


def test_partitions_are_merged_each_in_its_own(database: str, query: Ask):
    manager = DuckDBPolarsIOManager(database=database)
    rows = pl.DataFrame({"country": ["FR", "FR", "US"], "id": [1, 2, 3], "n": [1, 2, 3]})
    run(
        by_country(rows),
        io_manager=manager,
        tags={
            "dagster/asset_partition_range_start": "FR",
            "dagster/asset_partition_range_end": "US",
        },
    )

    merged = by_country(
        pl.DataFrame({"country": ["FR"], "id": [2], "n": [22]}),
        write_mode="merge",
        merge_keys=["id"],
        delete_unmatched=True,
    )
    result = run(merged, io_manager=manager, partition_key="FR")

    assert query("SELECT id, n FROM shop.orders ORDER BY id") == [(2, 22), (3, 3)]
    said = metadata(result, "shop__orders")
    assert (said["dagweave/rows_updated"], said["dagweave/rows_deleted"]) == (1, 1)


def test_rows_of_another_partition_are_left_out_or_refused_by_a_setting(database: str, query: Ask):
    rows = pl.DataFrame({"country": ["FR", "US"], "n": [1, 2]})

    dropping = DuckDBPolarsIOManager(database=database, rows_outside="drop")
    result = run(by_country(rows), io_manager=dropping, partition_key="FR")
    assert query("SELECT * FROM shop.orders") == [("FR", 1)]
    assert metadata(result, "shop__orders")["dagweave/rows_outside_partition"] == 1

    refusing = DuckDBPolarsIOManager(database=database, rows_outside="refuse")
    refused = run(by_country(rows), io_manager=refusing, partition_key="FR", ok=False)
    assert "1 of 2 rows" in failure(refused)
    assert query("SELECT * FROM shop.orders") == [("FR", 1)]


def test_a_query_reads_and_writes_the_partitions_of_the_run(database: str, query: Ask):
    rows = pl.DataFrame({"country": ["FR", "US", "DE"], "n": [1, 2, 3]})

    @dg.asset(
        key_prefix="shop",
        partitions_def=COUNTRIES,
        metadata={"partition_expr": "country"},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def totals(orders: Query) -> Query:
        return Query(f"SELECT country, n * 10 AS n FROM ({orders}) AS orders")

    result = run(
        by_country(rows, rows_outside="drop"),
        totals,
        io_manager=DuckDBPolarsIOManager(database=database),
        tags={
            "dagster/asset_partition_range_start": "FR",
            "dagster/asset_partition_range_end": "US",
        },
    )

    assert query("SELECT * FROM shop.totals ORDER BY n") == [("FR", 10), ("US", 20)]
    first, _ = result.asset_materializations_for_node("shop__totals")
    assert first.metadata["dagweave/rows_written"].value == 2


def test_a_table_grows_with_its_frames(database: str, query: Ask):
    manager = DuckDBPolarsIOManager(database=database, schema_policy="widen")
    first = pl.DataFrame({"n": [1]}, schema={"n": pl.Int32})
    run(an_asset(first, write_mode="append"), io_manager=manager)

    wider = pl.DataFrame({"n": [2**40], "new": ["x"]})
    result = run(an_asset(wider, write_mode="append"), io_manager=manager)

    assert query("SELECT * FROM shop.orders ORDER BY n") == [(1, None), (2**40, "x")]
    assert metadata(result, "shop__orders")["dagweave/schema_change"] == {
        "added": ["new"],
        "removed": [],
        "changed": {"n": "INTEGER → BIGINT"},
    }


def test_what_was_skipped_says_why(database: str):
    manager = DuckDBPolarsIOManager(database=database)
    run(an_asset(ONE), io_manager=manager)

    result = run(an_asset(ONE.clear(), write_mode="skip_if_empty"), io_manager=manager)

    said = metadata(result, "shop__orders")
    assert "no rows" in said["dagweave/skipped"]
    assert said["dagster/row_count"] == 0


def test_a_relation_is_written_and_loaded(database: str, query: Ask):
    relation = duckdb.sql("SELECT 1 AS id, 2.5::DECIMAL(9, 2) AS amount")

    @dg.asset(key_prefix="shop")
    def doubled(orders: duckdb.DuckDBPyRelation) -> Any:
        return orders.project("id, amount * 2 AS amount")

    run(an_asset(relation), doubled, io_manager=DuckDBPolarsIOManager(database=database))

    assert query("SELECT id, amount::DOUBLE FROM shop.doubled") == [(1, 5.0)]
