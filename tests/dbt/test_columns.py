"""Columns of what a real dbt built on a real DuckDB, and what becomes of questions that fail."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    ExecuteInProcessResult,
    TableSchema,
    materialize,
)

from dagweave.dbt import DbtCliResource, DbtEventIterator, DbtProject, dbt_assets
from dagweave.dbt.additions.inquiry import Columns, Rows, ask

Fetch = Callable[[DbtEventIterator[Any]], DbtEventIterator[Any]]
SCHEMA, LINEAGE, COUNT = "dagster/column_schema", "dagster/column_lineage", "dagster/row_count"


def definition(
    shop: DbtProject, fetch: Fetch, *args: str, select: str = "fqn:*"
) -> AssetsDefinition:
    @dbt_assets(manifest=shop.manifest_path, project=shop, select=select)
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        yield from fetch(dbt.cli(["build", *args], context=context).stream())

    return models


def run(
    shop: DbtProject, fetch: Fetch, *args: str, select: str = "fqn:*"
) -> ExecuteInProcessResult:
    return materialize(
        [definition(shop, fetch, *args, select=select)],
        resources={"dbt": DbtCliResource(shop)},
        raise_on_error=False,
    )


def told(result: ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    return {
        event.asset_key.to_user_string(): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }


def types(schema: TableSchema) -> dict[str, str]:
    return {column.name: column.type for column in schema.columns}


@pytest.fixture(scope="module")
def full_run(
    built_shop: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """A run of everything, with columns and counts, and without lineage."""
    folder = shutil.copytree(built_shop, tmp_path_factory.mktemp("columns") / "shop")
    result = run(
        DbtProject(folder),
        lambda events: events.fetch_column_metadata(with_column_lineage=False).fetch_row_counts(),
    )
    assert result.success
    return told(result)


def test_every_table_and_view_has_the_columns_that_the_warehouse_has(
    full_run: dict[str, dict[str, Any]],
):
    assert {key for key, metadata in full_run.items() if SCHEMA in metadata} == set(full_run)
    assert types(full_run["orders"][SCHEMA]) == {
        "id": "BIGINT",
        "customer_id": "BIGINT",
        "amount": "DECIMAL(21,1)",
        "ordered_on": "DATE",
        "customer": "VARCHAR",
        "run_date": "DATE",
    }
    assert types(full_run["countries"][SCHEMA]) == {"code": "VARCHAR", "country": "VARCHAR"}
    assert types(full_run["order_history"][SCHEMA])["dbt_valid_to"] == "TIMESTAMP"


def test_columns_carry_what_the_yaml_says_of_them(full_run: dict[str, dict[str, Any]]):
    columns = {column.name: column for column in full_run["stg_orders"][SCHEMA].columns}

    assert columns["id"].description == "The order."
    assert columns["amount"].description is None


def test_counts_come_along_and_lineage_only_if_asked_for(full_run: dict[str, dict[str, Any]]):
    assert full_run["orders"][COUNT] == 9
    assert COUNT not in full_run["stg_orders"]
    assert not any(LINEAGE in metadata for metadata in full_run.values())


def answering(*answers: Any, shown: str = "[]", then: str = "") -> str:
    """A stand-in's part of the second command: print these answers, then a table."""
    lines = [
        {"info": {"name": "PrintEvent", "level": "info", "msg": f"dagweave-answer:{json.dumps(a)}"}}
        for a in answers
    ]
    table = {"info": {"name": "ShowNode", "level": "info", "msg": ""}, "data": {"preview": shown}}
    return (
        "if sys.argv[1] == 'show':\n"
        + "".join(f"    print({json.dumps(line)!r})\n" for line in [*lines, table])
        + (f"    {then}\n" if then else "")
    )


BOTH: list[Fetch] = [
    lambda events: events.fetch_column_metadata().fetch_row_counts(),
    lambda events: events.fetch_row_counts().fetch_column_metadata(),
    lambda events: events.fetch_failed_rows().fetch_row_counts().fetch_column_metadata(),
]


@pytest.mark.parametrize("fetch", BOTH)
def test_columns_and_counts_cost_one_more_command_in_any_order(
    fetch: Fetch, fake_dbt: Any, log: Any, shop: DbtProject
):
    result_event = log.built("model.shop.orders")
    fake_dbt.prints(
        [log.version(), result_event],
        then=answering(["columns", 0, [["id", "BIGINT"]]], shown='[{"node": 0, "n": 7}]'),
    )

    result = run(shop, fetch, "--target", "other", select="orders,resource_type:model")

    orders = told(result)["orders"]
    assert types(orders[SCHEMA]) == {"id": "BIGINT"}
    assert orders[COUNT] == 7
    build, show = fake_dbt.calls
    assert build["argv"][0] == "build"
    assert show["argv"][:2] == ["show", "--inline"]
    assert show["argv"][show["argv"].index("--target") + 1] == "other"
    assert '"warehouse","main","orders"' in show["argv"][2]


@pytest.mark.parametrize(
    "answer",
    [
        ["columns", 0, None],
        ["columns", 0, [["id"]]],
        ["columns", 99, [["id", "INT"]]],
        ["columns"],
        "nothing",
        {"columns": 0},
    ],
)
def test_a_strange_answer_loses_nothing_of_what_was_built(
    answer: Any, fake_dbt: Any, log: Any, shop: DbtProject
):
    fake_dbt.prints([log.version(), log.built("model.shop.orders")], then=answering(answer))

    result = run(
        shop, lambda events: events.fetch_column_metadata(), select="orders,resource_type:model"
    )

    assert set(told(result)) == {"orders"}
    assert SCHEMA not in told(result)["orders"]


def test_a_dbt_that_cannot_answer_is_a_warning_and_not_asked_for_ever(
    fake_dbt: Any, log: Any, shop: DbtProject, capfd: pytest.CaptureFixture[str]
):
    built = ["model.shop.stg_customers", "seed.shop.countries", "model.shop.orders"]
    fake_dbt.prints(
        [log.version(), *(log.built(id_) for id_ in built)],
        then="""
if sys.argv[1] == "show":
    print(json.dumps({"info": {"name": "Oops", "level": "error", "msg": "no permission"}, "data": {}}))
    sys.exit(1)
""",
    )

    @dbt_assets(manifest=shop.manifest_path, project=shop, select="stg_customers countries orders")
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        stream = dbt.cli(["run"], context=context).stream()
        yield from stream.fetch_row_counts().fetch_column_metadata().fetch_compiled_sql()

    result = materialize([models], resources={"dbt": DbtCliResource(shop)})

    assert list(told(result)) == ["stg_customers", "countries", "orders"]
    assert not any({SCHEMA, COUNT} & set(metadata) for metadata in told(result).values())
    said = capfd.readouterr().err
    assert said.count("no permission") == 1
    assert len(fake_dbt.calls) == 1 + 3


def test_a_question_that_fails_does_not_take_the_others_with_it(
    fake_dbt: Any, log: Any, shop: DbtProject
):
    """The first table has columns; at the second one dbt fails; without it, all is well."""
    built = ["model.shop.stg_customers", "seed.shop.countries", "model.shop.orders"]
    fake_dbt.prints(
        [log.version(), *(log.built(id_) for id_ in built)],
        then="""
if sys.argv[1] == "show":
    def told(at, answer):
        msg = "dagweave-answer:" + json.dumps(["columns", at, answer])
        print(json.dumps({"info": {"name": "PrintEvent", "level": "info", "msg": msg}}))
    if "countries" in sys.argv[3]:
        told(0, [["id", "INT"]])
        sys.exit(1)
    told(0, [["total", "INT"]])
""",
    )

    @dbt_assets(manifest=shop.manifest_path, project=shop, select="stg_customers countries orders")
    def models(context: AssetExecutionContext, dbt: DbtCliResource):
        stream = dbt.cli(["run"], context=context).stream()
        yield from stream.fetch_column_metadata(with_column_lineage=False)

    metadata = told(materialize([models], resources={"dbt": DbtCliResource(shop)}))

    assert types(metadata["stg_customers"][SCHEMA]) == {"id": "INT"}
    assert types(metadata["orders"][SCHEMA]) == {"total": "INT"}
    assert SCHEMA not in metadata["countries"]


def test_several_queries_are_answered_by_one_command(shop: DbtProject):
    """As where there are more tables to count than a query takes."""
    invocation = DbtCliResource(shop).cli(["debug"], raise_on_error=False).wait()
    odd = "{{ a }} {% b %} {# c #} it''s \\ \"d\" é 😀"
    questions = [
        Rows("select 0 as node, count(*) as n from main.orders union all select 1, 2"),
        Rows(f"select 2 as node, 3 as n, '{odd}' as odd, null as nothing"),
        Rows("select i from range(10) t(i)", limit=2),
        Rows(f"select '{'x' * 1000}' as long", limit=2),
        Columns("warehouse", "main", "countries"),
        Columns("warehouse", "main", "gone"),
    ]

    answers = ask(invocation, questions)

    assert answers.error is None
    counts, strange, some, long = (answers.rows[each] for each in questions[:4])
    assert counts == [["node", "n"], ["0", "9"], ["1", "2"]]
    assert strange == [["node", "n", "odd", "nothing"], ["2", "3", odd.replace("''", "'"), None]]
    assert some == [["i"], ["0"], ["1"]]
    assert long == [["long"], ["x" * 200]]
    columns = [answers.columns[each] for each in questions[4:]]
    assert columns == [[("code", "VARCHAR"), ("country", "VARCHAR")], []]


def test_thousands_of_tables_with_long_names_fit_into_few_commands(
    fake_dbt: Any, log: Any, write_manifest: Callable[..., Path], shop_dir: Path
):
    names = [f"{'long_' * 20}{n}" for n in range(1500)]
    ids = [f"model.shop.{name}" for name in names]
    place = {"schema": "main", "database": "w"}
    manifest = write_manifest(
        *({"unique_id": id_, "alias": name, **place} for id_, name in zip(ids, names, strict=True))
    )
    fake_dbt.prints(
        [log.version(), *map(log.built, ids)],
        then="""
if sys.argv[1] == "show":
    assert len(sys.argv[3]) < 128 * 1024
    for at in range(sys.argv[3].count('"main"')):
        msg = "dagweave-answer:" + json.dumps(["columns", at, [["id", "INT"]]])
        print(json.dumps({"info": {"name": "PrintEvent", "level": "info", "msg": msg}}))
""",
    )

    stream = DbtCliResource(shop_dir).cli(["run"], manifest=manifest).stream()
    events = list(stream.fetch_column_metadata())

    assert [event.metadata["unique_id"].value for event in events] == ids
    assert all(SCHEMA in event.metadata for event in events)
    assert len(fake_dbt.calls) == 1 + 2


def test_events_that_nobody_wants_more_of_come_as_dbt_logs_them(
    fake_dbt: Any, log: Any, shop: DbtProject
):
    fake_dbt.prints([log.version(), log.built("model.shop.orders")], then="time.sleep(60)")
    invocation = DbtCliResource(shop).cli(["run"], manifest=shop.manifest_path)

    [first] = [next(invocation.stream())]

    assert first.metadata["unique_id"].value == "model.shop.orders"
    invocation.process.kill()
