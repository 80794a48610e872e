"""What users of the official I/O manager rely on, and what it got wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pytest

from dagweave.duckdb import (
    DuckDBPandasIOManager,
    DuckDBPolarsIOManager,
    DuckDBResource,
    duckdb_pandas_io_manager,
    duckdb_polars_io_manager,
)
from dagweave.weaving import find_lineage
from dagweave.weaving.tables import NamesTables
from duckdb_runs import Query, failure, metadata, run


@dg.asset
def numbers() -> pl.DataFrame:
    return pl.DataFrame({"n": [1, 2], "name": ["one", "two"]})


@pytest.mark.parametrize(
    ("key", "metadata", "schema", "found"),
    [
        (["numbers"], {}, None, "public"),
        (["raw", "numbers"], {}, None, "raw"),
        (["raw", "numbers"], {}, "config", "config"),
        (["raw", "numbers"], {"schema": "meta"}, "config", "meta"),
        (["raw", "numbers"], {"schema": "meta", "dagster/table_name": "a.numbers"}, "config", "a"),
        (["x"], {"dagster/table_name": "dev.b.numbers"}, "config", "b"),
        (["x"], {"dagster/table_name": "numbers"}, "config", "config"),
    ],
)
def test_the_schema_is_the_first_that_is_named(
    database: str, query: Query, key: list[str], metadata: Any, schema: str | None, found: str
) -> None:
    @dg.asset(key=key, metadata=metadata)
    def written() -> pl.DataFrame:
        return pl.DataFrame({"n": [1]})

    @dg.asset(ins={"written": dg.AssetIn(key)})
    def read(written: pl.DataFrame) -> pl.DataFrame:
        assert written["n"].to_list() == [1]
        return written

    io_manager = DuckDBPolarsIOManager(database=database, schema=schema)
    run(written, read, io_manager=io_manager)

    assert (found,) in query(
        "SELECT table_schema FROM information_schema.tables WHERE table_name = 'numbers'"
    )
    table = io_manager.table_of(dg.AssetKey(key), metadata)
    assert table is not None
    assert str(table) == f"dev.{found}.numbers"
    assert (table.kind, table.location) == ("duckdb", database)


def test_an_op_output_is_a_table_of_its_name_or_of_its_metadata(
    database: str, query: Query
) -> None:
    @dg.op(out={"plain": dg.Out(), "named": dg.Out(metadata={"schema": "meta", "table": "other"})})
    def make() -> tuple[pd.DataFrame, pd.DataFrame]:
        return pd.DataFrame({"n": [1]}), pd.DataFrame({"n": [2]})

    @dg.op(ins={"left": dg.In(metadata={"columns": ["n"]})})
    def check(left: pd.DataFrame, right: pd.DataFrame) -> None:
        assert (left["n"][0], right["n"][0]) == (1, 2)

    @dg.job(resource_defs={"io_manager": DuckDBPandasIOManager(database=database)})
    def job() -> None:
        check(*make())

    assert job.execute_in_process().success
    assert query("SELECT n FROM public.plain") == [(1,)]
    assert query("SELECT n FROM meta.other") == [(2,)]


@pytest.mark.parametrize(
    ("definition", "frame"),
    [(duckdb_pandas_io_manager, pd.DataFrame), (duckdb_polars_io_manager, pl.DataFrame)],
)
def test_the_official_forms_take_their_settings_by_configured(
    database: str, query: Query, definition: dg.IOManagerDefinition, frame: type[Any]
) -> None:
    @dg.asset(io_manager_key="io_manager")
    def one():
        return frame({"n": [1]})

    @dg.asset
    def two(one):
        assert isinstance(one, frame)
        return one

    run(one, two, io_manager=definition.configured({"database": database, "schema": "s"}))

    assert query("SELECT n FROM s.two") == [(1,)]


def test_the_official_forms_know_their_tables_once_they_are_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = dg.AssetKey(["raw", "numbers"])
    mapped = duckdb_pandas_io_manager.configured(lambda name: {"database": name}, config_schema=str)
    late = duckdb_pandas_io_manager.configured({"database": {"env": "MY_DATABASE"}})
    twice = duckdb_polars_io_manager.configured({"database": "dev.duckdb", "schema": "s"})

    assert isinstance(twice, NamesTables)
    table = twice.table_of(key, {})
    assert table is not None
    assert (str(table), table.location) == ("dev.s.numbers", str(Path("dev.duckdb").resolve()))
    for unknown in (duckdb_pandas_io_manager, mapped, late):
        assert isinstance(unknown, NamesTables)
        assert unknown.table_of(key, {}) is None
    monkeypatch.setenv("MY_DATABASE", "dev.duckdb")
    assert isinstance(late, NamesTables)
    assert str(late.table_of(key, {})) == "dev.raw.numbers"


def test_the_official_forms_are_woven() -> None:
    @dg.asset(deps=[dg.AssetDep("loose", metadata={"dagster/table_name": "dev.raw.numbers"})])
    def reads() -> None: ...

    @dg.asset(key_prefix="raw", name="numbers")
    def writes() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    io_manager = duckdb_pandas_io_manager.configured({"database": "dev.duckdb"})
    (link,) = find_lineage([reads, writes], {"io_manager": io_manager}).links

    assert (link.writer, link.table) == (("raw", "numbers"), "dev.raw.numbers")


def test_settings_may_come_from_the_environment(
    database: str, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    io_manager = DuckDBPolarsIOManager(
        database=dg.EnvVar("MY_DATABASE"), schema=dg.EnvVar("MY_SCHEMA")
    )
    unknown = io_manager.table_of(dg.AssetKey(["numbers"]), {})
    assert unknown is not None
    assert (unknown.database, unknown.location) == (None, None)

    monkeypatch.setenv("MY_DATABASE", database)
    monkeypatch.setenv("MY_SCHEMA", "env")
    run(numbers, io_manager=io_manager)

    assert query("SELECT count(*) FROM env.numbers") == [(2,)]
    assert str(io_manager.table_of(dg.AssetKey(["numbers"]), {})) == "dev.env.numbers"


def test_a_relative_path_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    @dg.asset
    def moves(numbers: pl.DataFrame) -> pl.DataFrame:
        monkeypatch.chdir(elsewhere)
        return numbers

    @dg.asset
    def after(moves: pl.DataFrame) -> pl.DataFrame:
        return moves

    run(numbers, moves, after, io_manager=DuckDBPolarsIOManager(database="here.duckdb"))

    assert (tmp_path / "here.duckdb").exists()
    assert list(elsewhere.iterdir()) == []


def test_only_the_columns_that_an_input_names_are_loaded(database: str) -> None:
    @dg.asset(ins={"numbers": dg.AssetIn(metadata={"columns": ["name"]})})
    def names(numbers: pl.DataFrame) -> pl.DataFrame:
        assert numbers.columns == ["name"]
        return numbers

    run(numbers, names, io_manager=DuckDBPolarsIOManager(database=database))


def test_a_column_that_is_not_there_is_named_with_those_that_are(database: str) -> None:
    @dg.asset(ins={"numbers": dg.AssetIn(metadata={"columns": ["nmae"]})})
    def names(numbers: pl.DataFrame) -> pl.DataFrame:
        return numbers

    result = run(numbers, names, io_manager=DuckDBPolarsIOManager(database=database), ok=False)

    assert "no column 'nmae'" in failure(result)
    assert "name (VARCHAR)" in failure(result)


def test_a_materialization_says_what_was_written_and_where(database: str) -> None:
    @dg.asset(key_prefix="raw")
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"id": [1, 2], "day": [dt.date(2026, 1, 5)] * 2})

    found = metadata(
        run(orders, io_manager=DuckDBPandasIOManager(database=database)), "raw__orders"
    )

    assert found["dagster/row_count"] == 2
    assert found["dagster/table_name"] == "dev.raw.orders"
    assert found["dagster/storage_kind"] == "duckdb"
    assert found["dagweave/storage_location"] == database
    assert found["Query"] == 'SELECT * FROM "dev"."raw"."orders"'
    assert [(c.name, c.type) for c in found["dataframe_columns"].columns] == [
        ("id", "int64"),
        ("day", "object"),
    ]
    assert [(c.name, c.type) for c in found["dagster/column_schema"].columns] == [
        ("id", "BIGINT"),
        ("day", "DATE"),
    ]


def test_what_a_full_replace_changed_in_the_columns_is_in_the_metadata(database: str) -> None:
    frames = iter(
        [pl.DataFrame({"n": [1], "old": ["x"]}), pl.DataFrame({"n": ["1"], "new": [1.5]})]
    )

    @dg.asset
    def table() -> pl.DataFrame:
        return next(frames)

    io_manager = DuckDBPolarsIOManager(database=database)
    first = metadata(run(table, io_manager=io_manager), "table")
    second = metadata(run(table, io_manager=io_manager), "table")

    assert "dagweave/schema_change" not in first
    assert second["dagweave/schema_change"] == {
        "added": ["new"],
        "removed": ["old"],
        "changed": {"n": "BIGINT → VARCHAR"},
    }


MADE_BY_HAND = """
CREATE SCHEMA public;
CREATE TYPE mood AS ENUM ('ok', 'bad');
CREATE TABLE public.people (
    id INTEGER PRIMARY KEY, amount DECIMAL(10, 2) NOT NULL CHECK (amount > 0), mood mood
);
CREATE INDEX by_amount ON public.people (amount);
INSERT INTO public.people VALUES (1, 7, 'bad');
"""


def people(*columns: pl.Series) -> Any:
    @dg.asset
    def people() -> pl.DataFrame:
        return pl.DataFrame(columns)

    return people


def amounts(*values: int) -> pl.Series:
    return pl.Series("amount", values, dtype=pl.Decimal(10, 2))


def test_a_table_made_by_hand_keeps_its_types_constraints_and_indexes(
    database: str, query: Query
) -> None:
    query(MADE_BY_HAND)
    moods = pl.Series("mood", ["ok", None])
    asset = people(moods, pl.Series("id", [1, 2]), amounts(5, 6))

    for _ in range(2):
        found = metadata(run(asset, io_manager=DuckDBPolarsIOManager(database=database)), "people")

    assert "dagweave/schema_change" not in found
    assert found["dagweave/rows_deleted"] == 2
    assert query("SELECT id, amount, mood FROM public.people ORDER BY id") == [
        (1, 5, "ok"),
        (2, 6, None),
    ]
    assert query("SELECT data_type FROM duckdb_columns() WHERE table_name = 'people'") == [
        ("INTEGER",),
        ("DECIMAL(10,2)",),
        ("ENUM('ok', 'bad')",),
    ]
    assert query("SELECT count(*) FROM duckdb_indexes()") == [(1,)]


def test_rows_that_break_a_constraint_are_refused(database: str, query: Query) -> None:
    query(MADE_BY_HAND)
    moods = pl.Series("mood", ["ok", "ok"])
    asset = people(pl.Series("id", [2, 2]), amounts(5, 6), moods)

    said = failure(run(asset, io_manager=DuckDBPolarsIOManager(database=database), ok=False))

    assert "Make the rows meet the table's constraints" in said
    assert query("SELECT id FROM public.people") == [(1,)]


def test_constraints_that_are_lost_are_named(
    database: str, query: Query, capfd: pytest.CaptureFixture[str]
) -> None:
    query(MADE_BY_HAND)

    asset = people(pl.Series("id", [1, 1]))
    found = metadata(run(asset, io_manager=DuckDBPolarsIOManager(database=database)), "people")

    lost = found["dagweave/schema_change"]["lost"]
    assert "PRIMARY KEY(id)" in lost
    assert "NOT NULL (amount)" in lost
    assert any("by_amount" in each for each in lost)
    assert "Gone with it: " in capfd.readouterr().err
    assert query("SELECT count(*) FROM public.people") == [(2,)]


def test_a_table_that_nobody_declared_takes_the_frames_columns(database: str, query: Query) -> None:
    io_manager = DuckDBPolarsIOManager(database=database)
    zones = ["Asia/Tokyo", "Europe/Berlin"]
    moment = pl.Series("at", [dt.datetime(2026, 1, 5, tzinfo=dt.UTC)])

    for id_, zone in zip((pl.Series("id", [0.5]), pl.Series("id", [1])), zones, strict=True):
        run(people(moment.dt.convert_time_zone(zone), id_), io_manager=io_manager)

    @dg.asset
    def read(people: pl.DataFrame) -> None:
        assert people.schema == {"at": pl.Datetime("us", "Europe/Berlin"), "id": pl.Int64()}

    run(dg.AssetSpec("people"), read, io_manager=io_manager)


def test_metadata_of_ones_own_is_kept(database: str) -> None:
    @dg.asset
    def table() -> dg.MaterializeResult[pl.DataFrame]:
        return dg.MaterializeResult(value=pl.DataFrame({"n": [1]}), metadata={"mine": 1})

    found = metadata(run(table, io_manager=DuckDBPolarsIOManager(database=database)), "table")

    assert (found["mine"], found["dagster/row_count"]) == (1, 1)


def test_none_is_refused_with_a_word_on_what_to_do(database: str) -> None:
    @dg.asset
    def nothing() -> pl.DataFrame:
        return None  # type: ignore[return-value]  # what users do

    @dg.asset
    def unannotated():
        return None

    io_manager = DuckDBPolarsIOManager(database=database)
    result = run(unannotated, io_manager=io_manager, ok=False)

    assert "'unannotated' is None" in failure(result)
    assert "-> None" in failure(result)
    assert not Path(database).exists()


def test_a_type_that_nobody_handles_is_named_with_those_that_are(database: str) -> None:
    @dg.asset
    def number() -> int:
        return 1

    @dg.asset
    def wants_a_list(numbers: list[int]) -> None: ...

    io_manager = DuckDBPolarsIOManager(database=database)

    written = failure(run(number, io_manager=io_manager, ok=False))
    assert "DuckDBPolarsIOManager does not have a handler for type <class 'int'>" in written
    assert "polars.DataFrame" in written
    read = failure(run(numbers, wants_a_list, io_manager=io_manager, ok=False))
    assert "does not have a handler for type typing.List[int]" in read


def test_our_errors_are_failures_that_are_not_retried_in_vain(database: str) -> None:
    attempts: list[int] = []

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=3))
    def number() -> int:
        attempts.append(1)
        return 1

    run(number, io_manager=DuckDBPolarsIOManager(database=database), ok=False)

    assert len(attempts) == 1


def test_a_table_that_was_never_written_is_named_with_the_nearest(database: str) -> None:
    @dg.asset
    def wants(number: pl.DataFrame) -> None: ...

    io_manager = DuckDBPolarsIOManager(database=database)
    assets = [numbers, wants, dg.AssetSpec("number")]
    run(*assets, io_manager=io_manager, selection="numbers")

    said = failure(run(*assets, io_manager=io_manager, selection="wants", ok=False))

    assert "no table dev.public.number" in said
    assert "public.numbers" in said


def test_a_database_that_was_never_written_is_named(database: str) -> None:
    @dg.asset
    def wants(numbers: pl.DataFrame) -> None: ...

    io_manager = DuckDBPolarsIOManager(database=database)
    said = failure(run(numbers, wants, io_manager=io_manager, selection="wants", ok=False))

    assert database in said
    assert "materialize what is upstream" in said
    assert not Path(database).exists()


def test_an_external_asset_is_loaded_from_the_table_that_it_names(
    database: str, query: Query
) -> None:
    query("CREATE SCHEMA marts; CREATE TABLE marts.fct_orders AS SELECT 7 AS n")
    external = dg.AssetSpec(
        ["some", "key"],
        metadata={"dagster/table_name": "dev.marts.fct_orders", "dagster/storage_kind": "duckdb"},
    )

    @dg.asset(ins={"orders": dg.AssetIn(["some", "key"])})
    def read(orders: pl.DataFrame) -> None:
        assert orders["n"].to_list() == [7]

    run(external, read, io_manager=DuckDBPolarsIOManager(database=database, schema="elsewhere"))


def test_an_asset_of_another_tool_is_loaded_from_the_table_that_its_spec_names(
    database: str, query: Query
) -> None:
    spec = dg.AssetSpec("dim", metadata={"dagster/table_name": "DEV.Marts.DIM_CITY"})

    @dg.multi_asset(specs=[spec])
    def like_dbt(duckdb: DuckDBResource) -> Any:
        with duckdb.get_connection() as connection:
            connection.execute("CREATE SCHEMA marts")
            connection.execute("CREATE TABLE marts.dim_city AS SELECT 'Oslo' AS city")
        yield dg.MaterializeResult()

    @dg.asset(ins={"dim": dg.AssetIn("dim")})
    def read(dim: pl.DataFrame) -> None:
        assert dim["city"].to_list() == ["Oslo"]

    result = dg.materialize(
        [like_dbt, read],
        resources={
            "duckdb": DuckDBResource(database=database),
            "io_manager": DuckDBPolarsIOManager(database=database, schema="elsewhere"),
        },
    )

    assert result.success


def test_a_table_named_for_a_spec_after_the_fact_is_found(database: str) -> None:
    def placed(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.merge_attributes(metadata={"dagster/table_name": "placed.somewhere"})

    @dg.asset
    def read(numbers: pl.DataFrame) -> None:
        assert len(numbers) == 2

    (moved,) = dg.map_asset_specs(placed, [numbers])
    result = run(moved, read, io_manager=DuckDBPolarsIOManager(database=database))

    assert metadata(result, "numbers")["dagster/table_name"] == "dev.placed.somewhere"


@pytest.mark.parametrize(
    ("elsewhere", "said"),
    [
        ({"dagster/table_name": "prod.marts.t"}, "'prod'"),
        ({"dagster/table_name": "marts.t", "dagster/storage_kind": "snowflake"}, "snowflake"),
        (
            {"dagster/table_name": "dev.marts.t", "dagweave/storage_location": "/else/dev.duckdb"},
            "/else/dev.duckdb",
        ),
    ],
)
def test_a_table_of_another_database_is_not_looked_for_here(
    database: str, query: Query, elsewhere: dict[str, str], said: str
) -> None:
    query("CREATE SCHEMA marts; CREATE TABLE marts.t AS SELECT 'the wrong one' AS n")

    @dg.asset
    def read(t: pl.DataFrame) -> None: ...

    result = run(
        dg.AssetSpec("t", metadata=elsewhere),
        read,
        io_manager=DuckDBPolarsIOManager(database=database),
        ok=False,
    )

    assert said in failure(result)


def test_a_schema_called_like_the_database_is_no_riddle(tmp_path: Path) -> None:
    @dg.asset(key_prefix="analytics")
    def orders() -> pl.DataFrame:
        return pl.DataFrame({"n": [1]})

    @dg.asset
    def read(orders: pl.DataFrame) -> None:
        assert len(orders) == 1

    with_input = dg.asset(ins={"orders": dg.AssetIn(["analytics", "orders"])})(
        read.node_def.compute_fn.decorated_fn  # type: ignore[union-attr]
    )
    run(orders, with_input, io_manager=DuckDBPolarsIOManager(database="analytics.duckdb"))


def test_a_view_is_not_overwritten_and_is_called_one(database: str, query: Query) -> None:
    query("CREATE SCHEMA public; CREATE VIEW public.numbers AS SELECT 1 AS n")

    said = failure(run(numbers, io_manager=DuckDBPolarsIOManager(database=database), ok=False))

    assert "There is a view of that name" in said
    assert query("SELECT n FROM public.numbers") == [(1,)]


def test_in_memory_a_run_reads_what_it_wrote(database: str) -> None:
    @dg.asset
    def read(numbers: pl.DataFrame) -> pl.DataFrame:
        assert len(numbers) == 2
        return numbers

    run(numbers, read, io_manager=DuckDBPolarsIOManager(database=":memory:"))
    again = run(
        numbers,
        read,
        io_manager=DuckDBPolarsIOManager(database=":memory:"),
        selection="read",
        ok=False,
    )

    assert "no table memory.public.numbers" in failure(again)


def test_the_file_is_free_while_user_code_runs(database: str) -> None:
    import subprocess
    import sys

    @dg.asset
    def writes_from_another_process(numbers: pl.DataFrame) -> pl.DataFrame:
        script = (
            f"import duckdb; duckdb.connect({database!r}).execute('CREATE TABLE other AS SELECT 1')"
        )
        subprocess.run([sys.executable, "-c", script], check=True)
        return numbers

    run(numbers, writes_from_another_process, io_manager=DuckDBPolarsIOManager(database=database))


def test_settings_of_the_connection_are_passed_on(database: str) -> None:
    io_manager = DuckDBPolarsIOManager(database=database, connection_config={"no_such_option": 1})

    said = failure(run(numbers, io_manager=io_manager, ok=False))

    assert "no_such_option" in said


def test_secrets_are_in_no_error_and_no_repr() -> None:
    token = "very-secret-token-0123456789"
    io_manager = DuckDBPolarsIOManager(
        database=f"md:db?motherduck_token={token}",
        connection_config={"motherduck_token": token, "s3_secret_access_key": "another-secret"},
    )

    said = failure(run(numbers, io_manager=io_manager, ok=False))

    made = io_manager.create_io_manager(dg.build_init_resource_context())
    for text in (
        said,
        repr(io_manager),
        repr(made),
        str(io_manager.table_of(dg.AssetKey("n"), {})),
    ):
        assert token not in text
        assert "another-secret" not in text
