"""The resource, the operations and the component."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dagster import Definitions, asset, job, materialize, op
from google.api_core.exceptions import NotFound
from google.cloud import bigquery

from dagweave._kernel.errors import InvalidInput
from dagweave.bigquery import (
    BigQueryError,
    BigQueryResource,
    BigQueryResourceComponent,
    bigquery_resource,
    bq_create_dataset,
    bq_delete_dataset,
    bq_op_for_queries,
    fetch_last_updated_timestamps,
    import_df_to_bq,
    import_file_to_bq,
    import_gcs_paths_to_bq,
)

Rows = Callable[[str], list[tuple[Any, ...]]]
SCHEMA = [{"name": "id", "type": "INTEGER"}, {"name": "name", "type": "STRING"}]


def run(definition: Any, settings: dict[str, Any], config: dict[str, Any]) -> Any:
    return definition.execute_in_process(
        run_config={"ops": config},
        resources={"bigquery": BigQueryResource(**settings)},
        raise_on_error=False,
    )


def told(done: Any) -> str:
    (failed,) = [each for each in done.all_events if each.is_step_failure]
    return str(failed.step_failure_data.user_failure_data.description)


def test_the_client_of_the_resource_labels_its_jobs_and_is_configured_by_a_subclass(
    settings: dict[str, Any],
):
    class Named(BigQueryResource):
        def client_options(self):
            return {"api_endpoint": settings["base_url"]}

    elsewhere = {**settings, "base_url": "http://nowhere.invalid"}
    with Named(**elsewhere, labels={"Team": "Shop"}).get_client() as client:
        done = client.query("SELECT 1")
        assert done.labels == {"team": "shop"}
        assert client.project == settings["project"]
        with pytest.raises(NotFound):
            client.get_table("nowhere.orders")


def test_an_asset_uses_the_client(settings: dict[str, Any], rows: Rows):
    @asset
    def orders(bigquery: BigQueryResource) -> None:
        with bigquery.get_client() as client:
            client.create_dataset("shop")
            client.query_and_wait("CREATE TABLE shop.orders AS SELECT 1 AS id")

    assert materialize([orders], resources={"bigquery": BigQueryResource(**settings)}).success
    assert rows("SELECT id FROM shop.orders") == [(1,)]


def test_the_address_may_be_of_the_environment(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DAGWEAVE_BIGQUERY_BASE_URL", settings["base_url"])

    with BigQueryResource(project=settings["project"]).get_client() as client:
        assert [tuple(row) for row in client.query_and_wait("SELECT 1")] == [(1,)]


def test_datasets_are_made_and_deleted(settings: dict[str, Any], client: bigquery.Client):
    @job
    def both():
        bq_delete_dataset(start=bq_create_dataset())

    made = run(
        bq_create_dataset_job(), settings, {"bq_create_dataset": {"config": {"dataset": "a"}}}
    )
    assert made.success
    again = run(
        bq_create_dataset_job(), settings, {"bq_create_dataset": {"config": {"dataset": "a"}}}
    )
    assert "The dataset a was not made" in told(again)

    config = {
        "bq_create_dataset": {"config": {"dataset": "a", "exists_ok": True}},
        "bq_delete_dataset": {"config": {"dataset": "a", "delete_contents": True}},
    }
    assert run(both, settings, config).success
    assert list(client.list_datasets()) == []


def bq_create_dataset_job() -> Any:
    @job
    def create():
        bq_create_dataset()

    return create


def test_queries_give_pandas_frames_in_their_order(settings: dict[str, Any]):
    queries = bq_op_for_queries(["SELECT 1 AS n", "SELECT 'a' AS word, DATE '2026-01-05' AS day"])

    @job
    def asked():
        queries()

    config = {queries.name: {"config": {"query_job_config": {"labels": {"team": "shop"}}}}}
    first, second = run(asked, settings, config).output_for_node(queries.name)

    assert first["n"].tolist() == [1]
    assert second.to_dict("records") == [{"word": "a", "day": dt.date(2026, 1, 5)}]
    with pytest.raises(InvalidInput, match="list"):
        bq_op_for_queries("SELECT 1")


def test_a_query_that_fails_says_what_bigquery_said(settings: dict[str, Any]):
    query = bq_op_for_queries(["SELECT * FROM shop.nowhere"])

    @job
    def asked():
        query()

    said = told(run(asked, settings, {}))

    assert "A query of BigQuery failed" in said
    assert "nowhere" in said


def test_frames_and_files_are_loaded(
    settings: dict[str, Any], client: Any, rows: Rows, tmp_path: Path
):
    client.create_dataset("shop")
    file = tmp_path / "orders.csv"
    file.write_text("id,name\n3,Kay\n")

    @op
    def frame():
        return pd.DataFrame({"id": [1, 2], "name": ["Ada", "Grace"]})

    @op
    def path():
        return str(file)

    @job
    def loaded():
        import_df_to_bq(frame())

    @job
    def added():
        import_file_to_bq(path())

    how = {"destination": "shop.orders", "load_job_config": {"schema": SCHEMA}}
    assert run(loaded, settings, {"import_df_to_bq": {"config": how}}).success
    how["load_job_config"] |= {
        "source_format": "CSV",
        "skip_leading_rows": 1,
        "write_disposition": "WRITE_APPEND",
    }
    assert run(added, settings, {"import_file_to_bq": {"config": how}}).success

    assert rows("SELECT id, name FROM shop.orders ORDER BY id") == [
        (1, "Ada"),
        (2, "Grace"),
        (3, "Kay"),
    ]
    file.unlink()
    missing = run(added, settings, {"import_file_to_bq": {"config": how}})
    assert "There is no file" in told(missing)


def test_paths_of_cloud_storage_that_are_not_there_are_an_error(
    settings: dict[str, Any], client: Any
):
    client.create_dataset("shop")

    @op
    def paths():
        return ["gs://bucket/nothing.csv"]

    @job
    def loaded():
        import_gcs_paths_to_bq(paths())

    how = {"destination": "shop.orders", "load_job_config": {"schema": SCHEMA}}
    done = run(loaded, settings, {"import_gcs_paths_to_bq": {"config": how}})

    assert not done.success
    assert "1 paths was not loaded into shop.orders" in told(done)


def test_when_tables_were_changed_is_told_and_what_is_missing_is_named(
    client: bigquery.Client, rows: Rows
):
    client.create_dataset("shop")
    rows("CREATE TABLE shop.orders AS SELECT 1 AS id")

    found = fetch_last_updated_timestamps(client=client, dataset_id="shop", table_ids=["orders"])

    assert abs(found["orders"] - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    with pytest.raises(BigQueryError, match="no table lines in the dataset"):
        fetch_last_updated_timestamps(
            client=client, dataset_id="shop", table_ids=["orders", "lines"]
        )
    with pytest.raises(InvalidInput, match="No tables"):
        fetch_last_updated_timestamps(client=client, dataset_id="shop", table_ids=[])


def test_the_old_resource_gives_the_client_and_says_that_it_is_old(settings: dict[str, Any]):
    seen: list[Any] = []

    @op(required_resource_keys={"bigquery"})
    def ask(context):
        seen.extend(tuple(r) for r in context.resources.bigquery.query_and_wait("SELECT 1"))

    @job(resource_defs={"bigquery": bigquery_resource.configured(settings)})
    def asked():
        ask()

    with pytest.warns(DeprecationWarning, match="BigQueryResource"):
        assert asked.execute_in_process().success
    assert seen == [(1,)]


def test_the_component_brings_the_resource_under_its_key(settings: dict[str, Any]):
    component = BigQueryResourceComponent(**settings, resource_key="bq", gcp_credentials="c2VjcmV0")

    assert isinstance(component.build_defs(None), Definitions)
    (found,) = component.build_defs(None).resources.items()
    assert found[0] == "bq"
    assert "c2VjcmV0" not in repr(component) + repr(found[1])
