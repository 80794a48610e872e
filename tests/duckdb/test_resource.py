from __future__ import annotations

import dagster as dg
import duckdb
import polars as pl
import pytest

from dagweave._kernel.errors import WaitTimeout
from dagweave.duckdb import DuckDBPolarsIOManager, DuckDBResource


def test_a_connection_for_ones_own_code(database: str) -> None:
    @dg.asset
    def table(duckdb: DuckDBResource) -> None:
        with duckdb.get_connection() as connection:
            connection.execute("CREATE TABLE t AS SELECT 7 AS n")

    assert dg.materialize([table], resources={"duckdb": DuckDBResource(database=database)}).success

    with duckdb.connect(database) as connection:
        assert connection.execute("FROM t").fetchall() == [(7,)]


def test_it_shares_the_file_with_the_io_manager_of_its_process(database: str) -> None:
    @dg.asset
    def numbers() -> pl.DataFrame:
        return pl.DataFrame({"n": [1]})

    @dg.asset
    def both(numbers: pl.LazyFrame, duckdb: DuckDBResource) -> pl.DataFrame:
        with duckdb.get_connection() as connection:
            connection.execute("INSERT INTO public.numbers VALUES (2)")
            return numbers.collect()

    result = dg.materialize(
        [numbers, both],
        resources={
            "duckdb": DuckDBResource(database=database),
            "io_manager": DuckDBPolarsIOManager(database=database),
        },
    )

    assert result.success
    with duckdb.connect(database) as connection:
        assert connection.execute("SELECT sum(n) FROM public.both").fetchall() == [(3,)]


def test_a_lazy_frame_collected_under_other_settings_fails_at_once(database: str) -> None:
    @dg.asset
    def numbers() -> pl.DataFrame:
        return pl.DataFrame({"n": [1]})

    @dg.asset
    def both(numbers: pl.LazyFrame, duckdb: DuckDBResource) -> None:
        with (
            duckdb.get_connection(),
            pytest.raises(Exception, match=r"these differ: threads\."),
        ):
            numbers.collect()

    result = dg.materialize(
        [numbers, both],
        resources={
            "duckdb": DuckDBResource(database=database, connection_config={"threads": 2}),
            "io_manager": DuckDBPolarsIOManager(database=database),
        },
    )

    assert result.success


def test_it_may_be_used_without_a_run(database: str) -> None:
    resource = DuckDBResource(database=database, connection_config={"threads": 1})

    with resource.get_connection() as connection:
        assert connection.execute("SELECT current_setting('threads')").fetchall() == [(1,)]


def test_settings_may_come_from_the_environment(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUCKDB_FILE", database)

    @dg.asset
    def table(duckdb: DuckDBResource) -> None:
        with duckdb.get_connection() as connection:
            connection.execute("CREATE TABLE t AS SELECT 7 AS n")

    resource = DuckDBResource(database=dg.EnvVar("DUCKDB_FILE"))
    assert dg.materialize([table], resources={"duckdb": resource}).success
    assert duckdb.connect(database).execute("FROM t").fetchall() == [(7,)]


def test_the_connection_is_closed_after_an_error(database: str) -> None:
    resource = DuckDBResource(database=database)

    with pytest.raises(duckdb.CatalogException), resource.get_connection() as connection:
        connection.execute("FROM no_such_table")

    # With other settings, which DuckDB refuses while it is open.
    duckdb.connect(database, config={"threads": 1}).close()


def test_in_memory_the_connections_of_one_resource_share_what_they_make() -> None:
    resource = DuckDBResource(database=":memory:")

    with resource.get_connection() as connection:
        connection.execute("CREATE TABLE t AS SELECT 1")
    with resource.get_connection() as connection:
        assert connection.execute("FROM t").fetchall() == [(1,)]
    with DuckDBResource(database=":memory:").get_connection() as connection:
        assert connection.execute("SHOW TABLES").fetchall() == []


def test_the_wait_for_a_lock_is_bounded_by_a_field(database: str) -> None:
    resource = DuckDBResource(database=database, lock_timeout_s=0.2)
    duckdb.connect(database).close()

    with (
        duckdb.connect(database, read_only=True),
        pytest.raises(WaitTimeout, match=r"stayed locked for 0\.2 s"),
        resource.get_connection(),
    ):
        pass


def test_no_secret_is_in_its_repr() -> None:
    resource = DuckDBResource(
        database="md:db?motherduck_token=token-1234",
        connection_config={"s3_secret_access_key": "key-5678"},
    )

    assert "token-1234" not in repr(resource)
    assert "key-5678" not in repr(resource)
    assert "s3_secret_access_key" in repr(resource)
