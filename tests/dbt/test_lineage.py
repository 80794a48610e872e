"""Column lineage of what a real dbt built on a real DuckDB, and of queries on their own."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetExecutionContext,
    AssetKey,
    ExecuteInProcessResult,
    TableColumnLineage,
    materialize,
)

from dagweave.dbt import DbtCliResource, DbtProject, dbt_assets
from dagweave.dbt.additions.lineage import Query, trace
from dagweave.dbt.run import find_dbt

SCHEMA, LINEAGE = "dagster/column_schema", "dagster/column_lineage"

MODELS = {
    "wide": """
        with o as (select * from {{ ref('stg_orders') }}),
        joined as (
            select o.*, c.name as "Customer Name",
                row_number() over (partition by c.id order by o.ordered_on) as nth
            from o left join {{ ref('stg_customers') }} c on o.customer_id = c.id
        )
        select j.*, case when j.amount > 10 then j.nth else 0 end as big,
            (select max(k.country) from {{ ref('countries') }} k where k.code = 'FR') as top
        from joined j where j.ordered_on is not null
    """,
    "both": """
        select id, name as label from {{ ref('stg_customers') }}
        union all
        select id, customer from {{ ref('int_orders') }}
    """,
    "growing": """
        {{ config(materialized='incremental', unique_key='id') }}
        select o.id, {% if is_incremental() %} t.total + o.amount {% else %} o.amount {% endif %} as total
        from {{ ref('orders') }} o
        {% if is_incremental() %} left join {{ this }} t on t.id = o.id {% endif %}
    """,
    "history": "select * exclude (amount), amount as was from {{ ref('order_history') }}",
    "alone": "select 1 as one, current_date as today",
}


def lineage(result: ExecuteInProcessResult) -> dict[str, dict[str, list[str]]]:
    """For each asset with lineage and each column: what it comes from, as `asset.column`."""
    found: dict[str, dict[str, list[str]]] = {}
    for event in result.get_asset_materialization_events():
        told = event.materialization.metadata.get(LINEAGE)
        if told is not None and event.asset_key:
            assert isinstance(told.value, TableColumnLineage)
            found[event.asset_key.to_user_string()] = {
                column: sorted(f"{d.asset_key.to_user_string()}.{d.column_name}" for d in deps)
                for column, deps in told.value.deps_by_column.items()
            }
    return found


def run(project: DbtProject, *args: str, select: str = "fqn:*") -> ExecuteInProcessResult:
    @dbt_assets(manifest=project.manifest_path, project=project, select=select)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["run", *args], context=context).stream().fetch_column_metadata()

    return materialize([models], resources={"dbt": DbtCliResource(project)}, raise_on_error=False)


def cache(project: DbtProject) -> Path:
    return project.project_dir / "target" / "dagweave" / "column_lineage.json"


@pytest.fixture(scope="module")
def rich_shop(built_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    """The shop with models of many forms, whose first run is done."""
    folder = shutil.copytree(built_shop, tmp_path_factory.mktemp("lineage") / "shop")
    for name, sql in MODELS.items():
        (folder / "models" / "marts" / f"{name}.sql").write_text(sql)
    subprocess.run([find_dbt(), "parse", "--quiet"], cwd=folder, check=True)
    return DbtProject(folder)


@pytest.fixture(scope="module")
def full_run(rich_shop: DbtProject) -> ExecuteInProcessResult:
    @dbt_assets(manifest=rich_shop.manifest_path, project=rich_shop)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["build"], context=context).stream().fetch_column_metadata()

    result = materialize([models], resources={"dbt": DbtCliResource(rich_shop)})
    assert result.success
    return result


@pytest.fixture
def run_before(
    rich_shop: DbtProject, full_run: ExecuteInProcessResult, tmp_path: Path
) -> DbtProject:
    """A copy of it as its first run left it."""
    return DbtProject(shutil.copytree(rich_shop.project_dir, tmp_path / "rich"))


@pytest.fixture(scope="module")
def first(full_run: ExecuteInProcessResult) -> Mapping[str, dict[str, list[str]]]:
    return lineage(full_run)


def test_a_column_comes_from_the_columns_of_its_parents_by_their_keys(
    first: Mapping[str, dict[str, list[str]]],
):
    assert first["stg_orders"] == {
        "id": ["raw/orders.id"],
        "customer_id": ["raw/orders.customer_id"],
        "amount": ["raw/orders.amount"],
        "ordered_on": ["raw/orders.ordered_on"],
    }
    assert first["finance/revenue"] == {
        "customer_id": ["orders.customer_id"],
        "revenue": ["orders.amount"],
    }


def test_lineage_goes_through_joins_ctes_subqueries_and_stars(
    first: Mapping[str, dict[str, list[str]]],
):
    assert first["wide"] == {
        "id": ["stg_orders.id"],
        "customer_id": ["stg_orders.customer_id"],
        "amount": ["stg_orders.amount"],
        "ordered_on": ["stg_orders.ordered_on"],
        "Customer Name": ["stg_customers.name"],
        "nth": ["stg_customers.id", "stg_orders.ordered_on"],
        "big": ["stg_customers.id", "stg_orders.amount", "stg_orders.ordered_on"],
        "top": ["countries.country"],
    }
    assert first["alone"] == {"one": [], "today": []}


def test_lineage_goes_through_what_dbt_does_not_build(first: Mapping[str, dict[str, list[str]]]):
    assert first["orders"] == {
        "id": ["stg_orders.id"],
        "customer_id": ["stg_orders.customer_id"],
        "amount": ["stg_orders.amount"],
        "ordered_on": ["stg_orders.ordered_on"],
        "customer": ["stg_customers.name"],
        "run_date": [],
    }
    assert first["both"] == {
        "id": ["stg_customers.id", "stg_orders.id"],
        "label": ["stg_customers.name"],
    }


def test_a_snapshot_has_lineage_and_a_seed_has_none(first: Mapping[str, dict[str, list[str]]]):
    assert first["order_history"]["amount"] == ["stg_orders.amount"]
    assert first["order_history"]["dbt_valid_from"] == []
    assert first["history"]["was"] == ["order_history.amount"]
    assert first["history"]["dbt_valid_from"] == ["order_history.dbt_valid_from"]
    assert "countries" not in first


def test_what_has_not_changed_is_taken_from_disk(
    run_before: DbtProject, first: Mapping[str, dict[str, list[str]]]
):
    file = cache(run_before)
    kept = json.loads(file.read_text())
    kept['"warehouse"."main"."alone"'][1]["one"] = [['"warehouse"."main"."nowhere"', "x"]]
    kept['"warehouse"."main"."both"'][1]["label"] = [['"warehouse"."main"."stg_orders"', "kept"]]
    file.write_text(json.dumps(kept))
    written = file.stat().st_mtime_ns

    again = lineage(run(run_before, select="alone both"))

    assert again["both"] == {**first["both"], "label": ["stg_orders.kept"]}
    assert again["alone"] == first["alone"]  # it names no parent of the model
    assert file.stat().st_mtime_ns == written


def test_sql_that_has_changed_is_read_anew(
    run_before: DbtProject, first: Mapping[str, dict[str, list[str]]]
):
    """An incremental model reads itself from its second run on: that is no lineage."""
    before = json.loads(cache(run_before).read_text())

    again = lineage(run(run_before, select="growing"))

    assert again["growing"] == {"id": ["orders.id"], "total": ["orders.amount"]} == first["growing"]
    after = json.loads(cache(run_before).read_text())
    changed = {table for table, entry in after.items() if entry != before.get(table)}
    assert changed == {'"warehouse"."main"."growing"'}


def test_a_spoilt_cache_costs_nothing_but_time(
    run_before: DbtProject, first: Mapping[str, dict[str, list[str]]]
):
    cache(run_before).write_bytes(b"\xff{")

    assert lineage(run(run_before, select="dim_customers"))["dim_customers_v2"] == {
        "id": ["stg_customers.id"],
        "name": ["stg_customers.name"],
        "shouted": ["stg_customers.name"],
    }


def test_lineage_names_what_writes_a_source(
    shop: DbtProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As `weave` links it; what is known is kept where Dagweave's state is."""
    monkeypatch.setenv("DAGWEAVE_STATE_DIR", str(tmp_path / "state"))

    @dbt_assets(manifest=shop.manifest_path, project=shop, select="stg_orders")
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from dbt.cli(["run"], context=context).stream().fetch_column_metadata()

    writer = AssetKey(["loaded", "orders"])
    linked = models.with_attributes(asset_key_replacements={AssetKey(["raw", "orders"]): writer})
    result = materialize([linked], resources={"dbt": DbtCliResource(shop)})

    assert lineage(result)["stg_orders"]["id"] == ["loaded/orders.id"]
    assert (tmp_path / "state" / "dbt" / "shop" / "column_lineage.json").exists()
    assert not cache(shop).exists()


def test_another_target_has_lineage_of_its_own_tables(shop: DbtProject):
    result = run(shop, "--target", "other", select="stg_orders")

    assert lineage(result)["stg_orders"]["amount"] == ["raw/orders.amount"]
    assert set(json.loads(cache(shop).read_text())) == {'"other"."main"."stg_orders"'}


def ran(log: Any, code: Mapping[str, str], columns: str = '[["id", "INT"]]') -> dict[str, Any]:
    """What a stand-in for dbt prints and writes that built models of this code."""
    results = [{"unique_id": id_, "compiled_code": sql} for id_, sql in code.items()]
    return {
        "lines": [log.version(), *(log.built(id_) for id_ in code)],
        "then": f"""
if sys.argv[1] == "show":
    for at in range(20):
        msg = "dagweave-answer:" + json.dumps(["columns", at, {columns}])
        print(json.dumps({{"info": {{"name": "PrintEvent", "level": "info", "msg": msg}}}}))
else:
    os.makedirs(os.environ["DBT_TARGET_PATH"], exist_ok=True)
    with open(os.environ["DBT_TARGET_PATH"] + "/run_results.json", "w") as file:
        file.write({json.dumps(json.dumps({"results": results}))})
""",
    }


CODE = {
    "model.shop.stg_customers": "select id from",
    "model.shop.orders": 'select id from "warehouse"."main"."stg_orders"',
}


def test_code_that_cannot_be_read_is_one_warning_and_spoils_no_other(
    fake_dbt: Any, log: Any, shop: DbtProject, capfd: pytest.CaptureFixture[str]
):
    told = ran(log, CODE)
    fake_dbt.prints(told["lines"], then=told["then"])

    result = run(shop, select="stg_customers orders,resource_type:model")

    assert lineage(result) == {"orders": {"id": ["stg_orders.id"]}}
    [warning] = [line for line in capfd.readouterr().err.split("\n") if "lineage" in line]
    assert "1 of 2 tables that dbt built have no column lineage" in warning


def test_without_sqlglot_there_are_columns_and_a_word_on_how_to_install_it(
    fake_dbt: Any,
    log: Any,
    shop: DbtProject,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    told = ran(log, CODE)
    fake_dbt.prints(told["lines"], then=told["then"])

    result = run(shop, select="stg_customers orders,resource_type:model")

    assert result.success
    assert lineage(result) == {}
    for event in result.get_asset_materialization_events():
        assert SCHEMA in event.materialization.metadata
    said = capfd.readouterr().err
    assert said.count('pip install "dagweave[dbt]"') == 1


def test_where_the_cache_cannot_be_written_there_is_lineage_all_the_same(
    fake_dbt: Any, log: Any, shop: DbtProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DAGWEAVE_STATE_DIR", str(tmp_path / "file"))
    told = ran(log, CODE)
    fake_dbt.prints(told["lines"], then=told["then"])

    result = run(shop, select="stg_customers orders,resource_type:model")

    assert lineage(result) == {"orders": {"id": ["stg_orders.id"]}}


T = '"d"."s"."t"'
COLUMNS = [("id", "INT"), ("Name", "TEXT")]


@pytest.mark.parametrize(
    ("sql", "traced"),
    [
        (f"select * from {T}", {"id": ["id"], "name": ["Name"]}),
        (f"select T.ID as Total from {T} as t", {"total": ["id"]}),
        (f"select id from {T}; ", {"id": ["id"]}),
        (f"set x = 1; select id as x from {T}", {"x": ["id"]}),
        (f"select count(*) as n from {T} where id > 1", {"n": []}),
        (f"select id + len(name) as x from {T} group by all", {"x": ["Name", "id"]}),
        (
            f"with recursive r as (select id from {T} union all select id + 1 from r) select id from r",
            {"id": ["id"]},
        ),
        (
            f"select * from (select id, name from {T}) pivot (max(id) for name in ('a', 'b'))",
            {"a": ["id"], "b": ["id"]},
        ),
        ("select id from elsewhere", {"id": []}),
        ("select * from elsewhere", {"*": []}),
        ('select \'it\'\'s\' as "a ""b"""', {'a "b"': []}),
        (f'select id as "a ""b""" from {T}', {'a "b"': ["id"]}),
    ],
)
def test_a_query_is_traced_to_the_columns_of_its_tables(sql: str, traced: dict[str, list[str]]):
    found = trace(Query(sql, "duckdb", {T: COLUMNS}))

    assert found == {column: [(T, each) for each in names] for column, names in traced.items()}


@pytest.mark.parametrize(
    ("adapter_type", "table", "columns", "sql", "traced"),
    [
        # Snowflake spells what is not quoted in capitals.
        ("snowflake", "DB.s.orders", ["ID", "odd one"], 'select id, o."odd one" from DB.s.orders o',
         {"ID": ["ID"], "odd one": ["odd one"]}),
        ("bigquery", "`p-1`.`d`.`t`", ["Id"], "select id, Id as b from `p-1`.`d`.`t`",
         {"id": ["Id"], "b": ["Id"]}),
        ("postgres", '"d"."s"."t"', ["id", "Id"], 'select id, "Id" from "d"."s"."t"',
         {"id": ["id"], "Id": ["Id"]}),
        ("databricks", "`c`.`s`.`t`", ["id"], "select ID from `c`.`s`.`t`", {"id": ["id"]}),
        ("sqlserver", '"d"."s"."t"', ["id"], 'select top 3 [id] from "d"."s"."t"', {"id": ["id"]}),
        ("an adapter of tomorrow", '"d"."s"."t"', ["id"], 'select id from "d"."s"."t"',
         {"id": ["id"]}),
    ],
)  # fmt: skip
def test_each_dialect_has_its_own_spelling(
    adapter_type: str, table: str, columns: list[str], sql: str, traced: dict[str, list[str]]
):
    found = trace(Query(sql, adapter_type, {table: [(name, "INT") for name in columns]}))

    assert found == {column: [(table, each) for each in names] for column, names in traced.items()}


@pytest.mark.parametrize(
    "sql", ["", "def model(dbt, session): return 1", "select (", "x" * 2_000_000]
)
def test_what_is_no_query_is_an_error(sql: str):
    with pytest.raises(Exception, match=r"."):
        trace(Query(sql, "duckdb", {}))


def test_the_lineage_of_a_query_depends_on_its_text_and_on_its_tables():
    one = Query("select id from t", "duckdb", {"t": [("id", "INT")]})

    assert one.digest == Query(one.sql, "duckdb", {"t": [("id", "INT")]}).digest
    others = [
        Query("select id  from t", "duckdb", one.tables),
        Query(one.sql, "snowflake", one.tables),
        Query(one.sql, "duckdb", {"t": [("id", "TEXT")]}),
        Query(one.sql, "duckdb", {}),
    ]
    assert len({each.digest for each in (one, *others)}) == 5
