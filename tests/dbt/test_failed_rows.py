"""The rows that tests of a real dbt found fault with, and the SQL that dbt ran."""

import json
from typing import Any

import duckdb
import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    ExecuteInProcessResult,
    materialize,
)

from dagweave.dbt import DbtCliResource, DbtProject, dbt_assets

ROWS, SQL = "dagweave/failed_rows", "dagweave/compiled_sql"
BAD = ("--vars", '{"bad_rows": true}')


def run(
    shop: DbtProject, *args: str, limit: int = 10, select: str = "fqn:*"
) -> ExecuteInProcessResult:
    @dbt_assets(manifest=shop.manifest_path, project=shop, select=select)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        stream = dbt.cli(["build", *args], context=context).stream()
        yield from stream.fetch_failed_rows(limit=limit).fetch_compiled_sql()

    return materialize([models], resources={"dbt": DbtCliResource(shop)}, raise_on_error=False)


def checks(result: ExecuteInProcessResult) -> dict[str, AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def rows(check: AssetCheckEvaluation) -> list[str]:
    told = check.metadata[ROWS].value
    assert isinstance(told, str)
    return told.split("\n")


def test_a_failed_test_shows_the_rows_that_it_found(shop: DbtProject):
    result = run(shop, *BAD, select="stg_orders stg_customers")

    assert not result.success
    told = checks(result)
    assert rows(told["not_null_stg_orders_id"]) == ["| id |", "| --- |", "| *null* |"]
    passed = told["unique_stg_orders_id"]
    assert passed.passed
    assert ROWS not in passed.metadata


def test_rows_that_dbt_stored_are_read_from_where_they_are(shop: DbtProject):
    result = run(shop, *BAD, "--store-failures", select="stg_orders stg_customers")

    assert rows(checks(result)["not_null_stg_orders_id"]) == [
        r"| id | customer\_id | amount | ordered\_on |",
        "| --- | --- | --- | --- |",
        "| *null* | 99 | -1.0 | 2024-01-02 |",
    ]


def test_what_was_built_and_what_tested_it_show_the_sql_that_dbt_ran(shop: DbtProject):
    result = run(shop, select="stg_customers countries")

    built = {
        event.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert built["stg_customers"][SQL].value == (
        '```sql\nselect id, name from "warehouse"."raw"."customers"\n```'
    )
    assert SQL not in built["countries"]
    assert "group by id" in str(checks(result)["unique_stg_customers_id"].metadata[SQL].value)


def spoil(shop: DbtProject, rows: str) -> None:
    """Let the source that `stg_orders` is a view of hold other rows."""
    with duckdb.connect(str(shop.project_dir / "warehouse.duckdb")) as connection:
        connection.execute(f"create or replace table raw.orders_v1 as {rows}")


def test_no_more_rows_than_wanted_are_shown_and_none_that_is_long(shop: DbtProject):
    wide = ", ".join(f"'{'x' * 5000}' as c{n}" for n in range(40))
    spoil(shop, f"select null::int as id, 0 as customer_id, 1.0 as amount, {wide} from range(500)")
    model = shop.project_dir / "models" / "staging" / "stg_orders.sql"
    model.write_text("select *, current_date as ordered_on from {{ source('raw', 'orders') }}")

    few = checks(run(shop, "--store-failures", limit=3, select="stg_orders"))
    many = checks(run(shop, "--store-failures", limit=400, select="stg_orders"))

    shown = rows(few["not_null_stg_orders_id"])
    assert len(shown) == 2 + 3 + 2
    assert shown[-1] == "*3 of 500 failures, the first columns*"
    assert max(map(len, shown)) < 20 * 84
    assert len("\n".join(rows(many["not_null_stg_orders_id"]))) < 11_000


def test_what_markdown_would_read_otherwise_is_shown_as_it_is(shop: DbtProject):
    odd = "'a|b\n<b>*c*</b> `d` {{ e }} {% f %} {# g #} \\\\ 😀'"
    spoil(shop, f"select null::int as id, 0 as customer_id, {odd} as amount, 1 as ordered_on")
    test = shop.project_dir / "tests" / "odd_ones.sql"
    test.write_text(
        '{% raw %}select amount, \'{{ x }} {% y %} 😀 "\' as "q" from main.stg_orders{% endraw %}'
        "\n-- {{ ref('stg_orders') }}"
    )
    shop.preparer.prepare(shop)

    told = checks(run(shop, select="stg_orders"))

    [head, _, row] = rows(told["odd_ones"])
    assert head == "| amount | q |"
    assert row == (
        r"| a\|b \<b\>\*c\*\</b\> \`d\` {{ e }} {% f %} {# g #} \\\\ 😀 | {{ x }} {% y %} 😀 "
        '" |'
    )


def test_rows_that_cannot_be_read_are_a_warning_and_the_rest_is_told(
    shop: DbtProject, capfd: pytest.CaptureFixture[str]
):
    """What dbt built is gone when it is asked for."""
    project = shop.project_dir / "dbt_project.yml"
    project.write_text(
        project.read_text() + '\non-run-end:\n  - "drop view if exists main.stg_orders"\n'
    )

    @dbt_assets(
        manifest=shop.manifest_path, project=shop, select="stg_orders stg_customers countries"
    )
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        stream = dbt.cli(["build", *BAD], context=context).stream()
        yield from stream.fetch_failed_rows().fetch_column_metadata().fetch_row_counts()

    result = materialize([models], resources={"dbt": DbtCliResource(shop)}, raise_on_error=False)

    told = {
        event.asset_key.to_user_string(): set(event.materialization.metadata)
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert set(told) == {"stg_orders", "stg_customers", "countries"}
    assert "dagster/column_schema" not in told["stg_orders"]
    assert {"dagster/column_schema", "dagster/column_lineage"} <= told["stg_customers"]
    assert {"dagster/column_schema", "dagster/row_count"} <= told["countries"]
    assert not any(ROWS in check.metadata for check in checks(result).values())
    said = capfd.readouterr().err
    assert said.count("dbt did not say all that was asked of it") == 1
    assert "stg_orders does not exist" in said


def test_secrets_in_rows_and_sql_are_masked(
    fake_dbt: Any, log: Any, shop: DbtProject, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DBT_ENV_SECRET_PAT", "hunter2hunter2")
    test = "test.shop.not_null_stg_orders_id.8cf5724805"
    answer = ["rows", 0, [["id"], ["hunter2hunter2"]]]
    results = {"results": [{"unique_id": test, "compiled_code": "select 'hunter2hunter2'"}]}
    line = {"info": {"name": "PrintEvent", "msg": f"dagweave-answer:{json.dumps(answer)}"}}
    fake_dbt.prints(
        [log.version(), log.tested(test, "warn", failures=1)],
        then=f"""
if sys.argv[1] == "show":
    print({json.dumps(line)!r})
else:
    os.makedirs(os.environ["DBT_TARGET_PATH"], exist_ok=True)
    with open(os.environ["DBT_TARGET_PATH"] + "/run_results.json", "w") as file:
        file.write({json.dumps(json.dumps(results))})
""",
    )

    stream = DbtCliResource(shop).cli(["test"], manifest=shop.manifest_path).stream()
    [event] = stream.fetch_failed_rows().fetch_compiled_sql()

    assert {ROWS, SQL} <= set(event.metadata)
    assert "hunter2" not in str(event.metadata)
