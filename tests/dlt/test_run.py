import gc
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest
from dagster import (
    AssetDep,
    AssetKey,
    AssetMaterialization,
    AssetSelection,
    AssetSpec,
    DailyPartitionsDefinition,
    Definitions,
    MaterializeResult,
    OpExecutionContext,
    StaticPartitionsDefinition,
    asset,
    job,
    multi_asset,
    op,
)

from dagweave.dlt import (
    DagsterDltResource,
    DagsterDltTranslator,
    build_dlt_asset_specs,
    dlt_assets,
)
from dagweave.weaving import TableRef, weave


@dlt.source
def shop(customers: int = 2):
    @dlt.resource(write_disposition="replace", primary_key="id")
    def orders():
        yield [{"id": 1, "lines": [{"sku": "a"}, {"sku": "b"}]}, {"id": 2, "lines": []}]

    @dlt.resource(write_disposition="replace")
    def people():
        yield [{"id": n, "born": datetime(2000, 1, 1, tzinfo=UTC)} for n in range(customers)]

    return orders, people


def columns(schema: Any) -> dict[str, str]:
    return {column.name: column.type for column in schema.columns}


def test_the_rows_arrive_and_the_metadata_say_all_about_the_load(assets_of, load, query):
    metadata = load(assets_of(shop(), name="erp")).metadata

    assert query("SELECT count(*) FROM raw.orders") == [(2,)]
    orders = metadata["erp/orders"]
    assert orders["rows_loaded"] == 2
    assert orders["first_run"] is True
    assert orders["dataset_name"] == "raw"
    assert orders["destination_name"] == "duckdb"
    assert orders["destination_type"] == "dlt.destinations.duckdb"
    assert datetime.fromisoformat(orders["started_at"]) <= datetime.fromisoformat(
        orders["finished_at"]
    )
    assert {job["table_name"] for job in orders["jobs"]} == {"orders"}
    assert [(orders["load_id"],)] == query("SELECT load_id FROM raw._dlt_loads")
    assert orders["dagster/table_name"] == "wh.raw.orders"
    assert orders["dagster/storage_kind"] == "duckdb"
    assert "dagster/row_count" not in orders


def test_the_table_is_the_one_that_the_spec_claimed(assets_of, load, query):
    assets = assets_of(shop())
    claimed = {
        spec.key.to_user_string(): TableRef.from_metadata(spec.metadata) for spec in assets.specs
    }

    metadata = load(assets).metadata

    written = {key: TableRef.from_metadata(found) for key, found in metadata.items()}
    assert written == claimed
    for table in written.values():
        assert table
        query(f"SELECT * FROM {table}")


ODD_NAMES = (
    "Orders",
    "orderLines",
    "2fast",
    "a__b",
    "weird-näme",
    "UPPER CASE",
    "x" * 80,
    "_dot.ted",
)


def test_a_table_of_any_name_is_where_the_spec_says(assets_of, load, query):
    @dlt.source
    def odd():
        for number, name in enumerate(ODD_NAMES):
            yield dlt.resource([{"id": 1}], name=f"r{number}", table_name=name)

    assets = assets_of(odd())
    load(assets)

    for spec in assets.specs:
        table = TableRef.from_metadata(spec.metadata)
        assert query(f"SELECT count(*) FROM {table}") == [(1,)]


def test_the_columns_are_told_with_their_types_and_hints(assets_of, load):
    metadata = load(assets_of(shop(), name="erp")).metadata

    assert columns(metadata["erp/people"]["dagster/column_schema"]) == {
        "id": "bigint",
        "born": "timestamp",
        "_dlt_load_id": "text",
        "_dlt_id": "text",
    }
    key = metadata["erp/orders"]["dagster/column_schema"].columns[0]
    assert key.name == "id"
    assert not key.constraints.nullable
    assert key.constraints.other == ["primary_key"]


def test_a_nested_table_is_told_under_its_name_and_a_lookalike_is_not(assets_of, load):
    @dlt.source
    def site():
        return (
            dlt.resource([{"id": 1, "tags": [{"t": 1, "deep": [1]}]}], name="user"),
            dlt.resource([{"dark": True}], name="user__settings"),
        )

    user = load(assets_of(site(), name="site")).metadata["site/user"]

    assert columns(user["user__tags"])["t"] == "bigint"
    assert columns(user["user__tags__deep"])["value"] == "bigint"
    assert "user__settings" not in user


def test_a_table_named_by_its_data_is_told_with_its_rows_and_columns(assets_of, load):
    @dlt.source
    def events():
        rows = [{"kind": "click", "x": 1}, {"kind": "view", "page": "a"}, {"kind": "click", "x": 2}]
        yield dlt.resource(rows, name="by_kind", table_name=lambda row: row["kind"])
        yield dlt.resource([{"kind": "one"}], name="single", table_name=lambda row: row["kind"])

    metadata = load(assets_of(events(), name="e", fetch_row_count=True)).metadata

    by_kind = metadata["e/by_kind"]
    assert by_kind["rows_loaded"] == 3
    assert by_kind["dagster/row_count"] == 3
    assert columns(by_kind["click"])["x"] == "bigint"
    assert columns(by_kind["view"])["page"] == "text"
    assert {job["table_name"] for job in by_kind["jobs"]} == {"click", "view"}
    assert "dagster/table_name" not in by_kind
    assert metadata["e/single"]["dagster/table_name"] == "wh.raw.one"


def test_nothing_loaded_is_zero_rows(assets_of, load):
    @dlt.source
    def quiet():
        yield dlt.resource([], name="silence")
        yield dlt.resource([{"id": 1}], name="noise")
        yield dlt.resource([], name="declared", columns={"id": {"data_type": "bigint"}})

    metadata = load(assets_of(quiet(), name="q", fetch_row_count=True)).metadata

    assert metadata["q/silence"]["rows_loaded"] == 0
    assert metadata["q/silence"]["dagster/row_count"] == 0
    assert metadata["q/silence"]["jobs"] == []
    assert "dagster/column_schema" not in metadata["q/silence"]
    assert metadata["q/declared"]["dagster/row_count"] == 0


def test_a_source_with_nothing_at_all_is_zero_rows_too(assets_of, load):
    @dlt.source
    def quiet():
        return dlt.resource([], name="silence")

    assert load(assets_of(quiet(), name="q")).metadata["q/silence"]["rows_loaded"] == 0


def test_arrow_tables_are_told_as_others_are(assets_of, load, query):
    table = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "at": pa.array([0.5, 1.5, None])})

    @dlt.source
    def arrow():
        return dlt.resource([table], name="readings", write_disposition="replace")

    readings = load(assets_of(arrow(), name="a", fetch_row_count=True)).metadata["a/readings"]

    assert readings["rows_loaded"] == 3
    assert readings["dagster/row_count"] == 3
    assert columns(readings["dagster/column_schema"]) == {"id": "bigint", "at": "double"}
    assert query('SELECT sum(id), sum("at") FROM raw.readings') == [(6, 2.0)]
    assert {job["file_format"] for job in readings["jobs"]} == {"parquet"}


def test_only_what_is_selected_is_extracted_and_loaded(assets_of, load, query):
    metadata = load(assets_of(shop(), name="erp"), selection=["erp/people"]).metadata

    assert list(metadata) == ["erp/people"]
    assert query("SELECT table_name FROM duckdb_tables() WHERE table_name = 'orders'") == []


def test_a_selected_transformer_gets_its_parents_rows(assets_of, load):
    @dlt.source
    def site():
        @dlt.resource
        def pages():
            yield [{"id": 1}, {"id": 2}]

        @dlt.transformer(data_from=pages)
        def titles(items):
            yield [{"title": f"page {item['id']}"} for item in items]

        return pages, titles

    metadata = load(assets_of(site(), name="s"), selection=["s/titles"]).metadata

    assert {key: found["rows_loaded"] for key, found in metadata.items()} == {"s/titles": 2}


@dlt.source
def growing(days: int):
    @dlt.resource(write_disposition="append")
    def log(cursor=dlt.sources.incremental("day", initial_value=0)):  # noqa: B008 -- dlt's way
        yield [{"day": day} for day in range(cursor.last_value, days)]

    return log


def test_an_incremental_load_goes_on_where_the_last_one_ended(
    make_pipeline, assets_of, load, query
):
    for days, rows in ((3, 3), (5, 2), (5, 0)):
        # A new pipeline object, as a new process has.
        loaded = load(assets_of(growing(days), name="g", dlt_pipeline=make_pipeline()))
        assert loaded.metadata["g/log"]["rows_loaded"] == rows

    assert query("SELECT count(*), max(day) FROM raw.log") == [(5, 4)]


def test_a_load_of_nothing_new_says_where_to_and_leaves_out_what_there_was_not(
    make_pipeline, assets_of, load
):
    for _ in range(2):
        found = load(assets_of(growing(3), name="g", dlt_pipeline=make_pipeline())).metadata

    log = found["g/log"]
    assert (log["rows_loaded"], log["jobs"], log["first_run"]) == (0, [], False)
    assert (log["dataset_name"], log["destination_name"]) == ("raw", "duckdb")
    assert not {"load_id", "started_at", "finished_at"} & log.keys()
    assert None not in log.values()


def test_an_incremental_load_goes_on_on_another_machine(tmp_path, make_pipeline, assets_of, load):
    rows = [
        load(
            assets_of(
                growing(days),
                name="g",
                dlt_pipeline=make_pipeline(pipelines_dir=str(tmp_path / f"machine-{days}")),
            )
        ).metadata["g/log"]["rows_loaded"]
        for days in (3, 5)
    ]

    assert rows == [3, 2]


def test_state_that_only_the_folder_keeps_is_kept_there(
    tmp_path, monkeypatch, make_pipeline, assets_of, load
):
    monkeypatch.setenv("RESTORE_FROM_DESTINATION", "false")

    rows = [
        load(assets_of(growing(days), name="g", dlt_pipeline=make_pipeline())).metadata["g/log"][
            "rows_loaded"
        ]
        for days in (3, 5)
    ]

    assert rows == [3, 2]
    assert (tmp_path / "pipelines" / "shop" / "state.json").exists()


SUNK: list[tuple[str, int]] = []


@dlt.destination(batch_size=100)
def sink(items, table):
    SUNK.append((table["name"], len(items)))


def test_a_destination_that_keeps_no_state_and_has_no_tables(make_pipeline, assets_of, load):
    SUNK.clear()
    pipeline = make_pipeline("sink", destination=sink, dataset_name=None)

    loaded = [
        load(assets_of(growing(days), name="g", dlt_pipeline=pipeline, fetch_row_count=True))
        for days in (3, 5)
    ]

    assert SUNK == [("log", 3), ("log", 2)]
    last = loaded[1].metadata["g/log"]
    assert last["rows_loaded"] == 2
    assert "dagster/table_name" not in last
    assert "dagster/row_count" not in last


def folders(pipelines: Path) -> list[str]:
    return [path.name for path in (pipelines / ".dagweave").glob("*")]


def test_no_working_folder_is_left_and_the_users_own_stays(
    tmp_path, make_pipeline, assets_of, load
):
    pipeline = make_pipeline()
    load(assets_of(shop(), dlt_pipeline=pipeline))

    assert folders(tmp_path / "pipelines") == []
    assert Path(pipeline.working_dir, "state.json").exists()
    assert dlt.pipeline() is pipeline


def test_the_database_of_a_pipeline_that_keeps_it_in_its_folder_stays(
    make_pipeline, assets_of, load
):
    pipeline = make_pipeline(destination=dlt.destinations.duckdb(":pipeline:"))

    load(assets_of(shop(), name="erp", dlt_pipeline=pipeline))

    with pipeline.sql_client() as client:
        assert client.execute_sql("SELECT count(*) FROM raw.orders") == [(2,)]


def test_a_layout_of_dataset_names_is_applied_once(make_pipeline, assets_of, load, monkeypatch):
    monkeypatch.setenv("DATASET_NAME_LAYOUT", "dev_%s")

    orders = load(assets_of(shop(), name="erp")).metadata["erp/orders"]

    assert orders["dataset_name"] == "dev_raw"
    assert orders["dagster/table_name"] == "wh.dev_raw.orders"


def test_a_source_beside_another_in_one_pipeline_is_told_by_its_own_schema(
    make_pipeline, assets_of, load
):
    @dlt.source
    def site():
        return dlt.resource([{"url": "a", "hits": 3}], name="orders_page")

    load(assets_of(shop(), name="erp", dlt_pipeline=make_pipeline()))
    metadata = load(assets_of(site(), name="site", dlt_pipeline=make_pipeline())).metadata

    assert columns(metadata["site/orders_page"]["dagster/column_schema"])["hits"] == "bigint"


def test_a_dataset_of_its_own_for_each_schema_is_told(
    make_pipeline, assets_of, load, query, monkeypatch
):
    monkeypatch.setenv("USE_SINGLE_DATASET", "false")

    @dlt.source
    def site():
        return dlt.resource([{"url": "a"}], name="pages")

    load(assets_of(shop(), name="erp", dlt_pipeline=make_pipeline()))
    pages = load(assets_of(site(), name="site", dlt_pipeline=make_pipeline())).metadata[
        "site/pages"
    ]

    assert pages["dagster/table_name"] == "wh.raw_site.pages"
    assert query("SELECT url FROM wh.raw_site.pages") == [("a",)]


def test_a_pipeline_in_development_writes_the_dataset_that_it_made_up(
    make_pipeline, assets_of, load, query
):
    pipeline = make_pipeline(dev_mode=True)

    people = load(assets_of(shop(), name="erp", dlt_pipeline=pipeline)).metadata["erp/people"]

    assert people["dagster/table_name"] == f"wh.{pipeline.dataset_name}.people"
    assert query(f"SELECT count(*) FROM {people['dagster/table_name']}") == [(2,)]


def test_progress_and_schema_export_are_as_the_user_set_them(
    tmp_path, make_pipeline, assets_of, load
):
    said = io.StringIO()
    pipeline = make_pipeline(
        progress=dlt.progress.log(logger=said, dump_system_stats=False),
        export_schema_path=str(tmp_path / "schemas"),
    )

    load(assets_of(shop(), dlt_pipeline=pipeline))

    assert (tmp_path / "schemas" / "shop.schema.yaml").exists()
    assert "Load shop in" in said.getvalue()


def test_a_reader_of_the_table_is_woven_to_the_asset_that_writes_it(assets_of):
    table = TableRef("orders", "raw", "wh", "duckdb")

    @asset(deps=[AssetDep(["dbt", "source"], metadata=table.to_metadata())])
    def report(): ...

    defs = weave(
        Definitions(
            [assets_of(shop(), name="erp"), report], resources={"dlt": DagsterDltResource()}
        )
    )

    graph = defs.resolve_asset_graph()
    assert graph.get(report.key).parent_keys == {AssetKey(["erp", "orders"])}


def test_nothing_of_what_the_user_made_is_changed(make_pipeline, assets_of, load):
    source, pipeline = shop(), make_pipeline()
    schema, config = source.schema.to_dict(), dict(pipeline.destination.config_params)
    name, folder = pipeline.dataset_name, pipeline.working_dir

    load(assets_of(source, dlt_pipeline=pipeline))

    assert source.schema.to_dict() == schema
    assert pipeline.destination.config_params == config
    assert (pipeline.dataset_name, pipeline.working_dir) == (name, folder)
    assert not source.exhausted


def test_dlts_schema_keeps_its_columns_whole(make_pipeline, assets_of, load, monkeypatch):
    monkeypatch.setenv("RESTORE_FROM_DESTINATION", "false")
    pipeline = make_pipeline()

    load(assets_of(shop(), dlt_pipeline=pipeline))

    column = pipeline.default_schema.get_table_columns("orders")["id"]
    assert (column["name"], column["data_type"], column["nullable"]) == ("id", "bigint", False)


def test_rows_are_counted_in_the_destination(make_pipeline, assets_of, load):
    @dlt.source
    def log():
        return dlt.resource([{"id": 1}, {"id": 2}], name="log", write_disposition="append")

    for loads in (1, 2):
        assets = assets_of(log(), name="l", dlt_pipeline=make_pipeline(), fetch_row_count=True)
        found = load(assets).metadata["l/log"]
        assert (found["rows_loaded"], found["dagster/row_count"]) == (2, 2 * loads)


@pytest.mark.parametrize("rows", [0, 2])
def test_of_one_partition_the_rows_loaded_are_counted(assets_of, load, rows):
    @dlt.source
    def log():
        return dlt.resource([{"id": n} for n in range(rows)], name="log")

    assets = assets_of(
        log(),
        name="l",
        partitions_def=DailyPartitionsDefinition("2026-01-01"),
        fetch_row_count=True,
    )

    found = load(assets, partition_key="2026-01-05").metadata["l/log"]

    assert found["dagster/partition_row_count"] == rows
    assert "dagster/row_count" not in found


def test_of_a_range_of_partitions_the_whole_table_is_counted(assets_of, load):
    assets = assets_of(
        shop(),
        name="erp",
        partitions_def=DailyPartitionsDefinition("2026-01-01"),
        fetch_row_count=True,
    )

    loaded = load(
        assets,
        tags={
            "dagster/asset_partition_range_start": "2026-01-05",
            "dagster/asset_partition_range_end": "2026-01-06",
        },
    )

    assert loaded.metadata["erp/orders"]["dagster/row_count"] == 2


def test_a_count_that_fails_is_logged_and_the_load_counts(make_pipeline, load, caplog):
    pipeline = make_pipeline(
        "lake", destination=dlt.destinations.filesystem("file://" + str(Path.cwd() / "lake"))
    )

    @dlt_assets(dlt_source=shop(), dlt_pipeline=pipeline, name="lake")
    def lake(context, dlt: DagsterDltResource):
        yield from dlt.run(context=context, loader_file_format="parquet").fetch_row_count()

    loaded = load(lake)

    assert loaded.result.success
    assert loaded.metadata["lake/orders"]["rows_loaded"] == 2


def test_what_is_passed_to_run_reaches_dlt(make_pipeline, assets_of, load, query):
    options = {"write_disposition": "append", "loader_file_format": "parquet"}
    for _ in range(2):
        assets = assets_of(shop(), name="erp", dlt_pipeline=make_pipeline(), options=options)
        found = load(assets).metadata["erp/orders"]

    assert {job["file_format"] for job in found["jobs"]} == {"parquet"}
    assert query("SELECT count(*) FROM raw.orders") == [(4,)]


def test_a_source_and_a_pipeline_passed_to_run_win_over_the_definitions(
    tmp_path, make_pipeline, load
):
    other = make_pipeline(
        "other", destination=dlt.destinations.duckdb(str(tmp_path / "other.duckdb"))
    )

    @dlt_assets(dlt_source=shop(), dlt_pipeline=make_pipeline(), name="erp")
    def loaded(context, dlt: DagsterDltResource):
        yield from dlt.run(context=context, dlt_source=shop(customers=7), dlt_pipeline=other)

    metadata = load(loaded).metadata

    assert metadata["erp/people"]["rows_loaded"] == 7
    assert metadata["erp/people"]["dagster/table_name"] == "other.raw.people"


def test_a_run_finds_its_resources_though_the_keys_were_changed(assets_of, load):
    keys = {AssetKey(["erp", name]): AssetKey(["bronze", name]) for name in ("orders", "people")}
    assets = assets_of(shop(), name="erp").with_attributes(asset_key_replacements=keys)

    metadata = load(assets, selection=AssetSelection.assets(["bronze", "people"])).metadata

    assert {key: found["rows_loaded"] for key, found in metadata.items()} == {"bronze/people": 2}


def test_specs_can_be_put_beside_other_assets_in_a_definition_of_ones_own(make_pipeline, load):
    specs = build_dlt_asset_specs(shop(), make_pipeline(), name="erp")

    @multi_asset(specs=[*specs, AssetSpec("report")], can_subset=True)
    def everything(context, dlt: DagsterDltResource):
        yield from dlt.run(context=context)
        yield MaterializeResult(asset_key="report")

    assert list(load(everything).metadata) == ["erp/orders", "erp/people", "report"]


def test_an_op_reports_materializations_under_the_translators_keys(make_pipeline):
    class Flat(DagsterDltTranslator):
        def get_asset_key(self, resource) -> AssetKey:
            return AssetKey(["from_op", resource.name])

    events: list[Any] = []

    @op(out={})
    def loads(context: OpExecutionContext, dlt: DagsterDltResource):
        for event in dlt.run(
            context=context,
            dlt_source=shop(),
            dlt_pipeline=make_pipeline(),
            dagster_dlt_translator=Flat(),
        ).fetch_row_count():
            events.append(event)
            yield event

    @job(resource_defs={"dlt": DagsterDltResource()})
    def nightly():
        loads()

    assert nightly.execute_in_process().success
    assert [type(event) for event in events] == [AssetMaterialization] * 2
    assert events[0].asset_key == AssetKey(["from_op", "orders"])
    assert events[0].metadata["dagster/row_count"].value == 2


def test_static_partitions_load_one_at_a_time(assets_of, load):
    assets = assets_of(
        shop(), name="erp", partitions_def=StaticPartitionsDefinition(["north", "south"])
    )

    assert load(assets, partition_key="north").result.success


def test_nothing_runs_before_the_first_event_is_asked_for(make_pipeline, load, query, warehouse):
    seen: list[bool] = []

    @dlt_assets(dlt_source=shop(), dlt_pipeline=make_pipeline(), name="erp")
    def lazily(context, dlt: DagsterDltResource) -> Iterator[Any]:
        events = dlt.run(context=context)
        seen.append(warehouse.exists())
        yield next(events)
        seen.append(warehouse.exists())
        yield from events

    assert list(load(lazily).metadata) == ["erp/orders", "erp/people"]
    assert seen == [False, True]


def test_a_run_that_is_given_up_leaves_no_folder(tmp_path, make_pipeline, load):
    @dlt_assets(dlt_source=shop(), dlt_pipeline=make_pipeline(), name="erp")
    def halfway(context, dlt: DagsterDltResource):
        for event in dlt.run(context=context):
            yield event
            raise RuntimeError("given up")

    load(halfway, raise_on_error=False)
    gc.collect()

    assert folders(tmp_path / "pipelines") == []
