"""What an account becomes: specs and definitions, from live calls and from snapshots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, AssetSpec, Definitions, EnvVar

from dagweave._kernel.errors import InvalidInput, Refused, Unavailable
from dagweave.fivetran import (
    DagsterFivetranTranslator,
    FivetranConnectorTableProps,
    FivetranMetadataSet,
    FivetranWorkspace,
    build_fivetran_assets_definitions,
    fivetran_assets,
    load_fivetran_asset_specs,
)
from dagweave.testing import FivetranServer, HttpFault

SHOP = {"shop": ["orders", "customers"]}


def keys(specs: Any) -> list[str]:
    return sorted(spec.key.to_user_string() for spec in specs)


def test_a_table_is_an_asset_with_its_place_in_fivetran_and_in_the_warehouse(
    fivetran_server: FivetranServer, make: Any
):
    fivetran_server.add_connection(
        "Shop DB",
        connection_id="abc",
        tables={"Shop": ["Orders"]},
        schedule_type="manual",
        daily_sync_time="05:00",
        config={"reports": [{"table": "ORDERS", "fields": ["a"]}], "password": "s3cret"},
    )

    (spec,) = make().load_asset_specs()

    assert spec.key == AssetKey(["shop", "orders"])
    assert spec.group_name == "shop_db"
    assert spec.kinds == {"fivetran", "snowflake"}
    assert spec.metadata["dagster/table_name"] == "RAW.shop.orders"
    assert spec.metadata["dagster/storage_kind"] == "snowflake"
    assert spec.metadata["connector_url"].url.endswith("/connections/abc")
    assert FivetranMetadataSet.extract(spec.metadata) == FivetranMetadataSet(
        connector_id="abc",
        connector_name="Shop DB",
        destination_id="group",
        destination_schema_name="shop",
        destination_table_name="orders",
        sync_frequency_minutes=360,
        schedule_type="manual",
        daily_sync_time="05:00",
        is_custom_report=True,
        custom_report_config='{"table": "ORDERS", "fields": ["a"]}',
    )


def test_tables_that_are_not_synced_are_no_assets(fivetran_server: FivetranServer, make: Any):
    shop = fivetran_server.add_connection("shop", tables={**SHOP, "secret": ["salaries"]})
    shop.disabled = {"shop.customers", "secret"}

    assert keys(make().load_asset_specs()) == ["shop/orders"]


def test_connections_that_are_broken_or_paused_stay_assets_and_those_without_tables_are_named(
    fivetran_server: FivetranServer, make: Any, caplog: pytest.LogCaptureFixture
):
    fivetran_server.add_connection("broken", tables={"b": ["t"]}, setup_state="broken")
    fivetran_server.add_connection("paused", tables={"p": ["t"]}, paused=True)
    fivetran_server.add_connection("new")
    fivetran_server.add_connection("empty", tables={})

    assert keys(make().load_asset_specs()) == ["b/t", "p/t"]
    assert "'broken' (broken_id) is broken" in caplog.text
    assert caplog.text.count("has no tables yet") == 2


def test_an_empty_account_is_no_error(
    fivetran_server: FivetranServer, make: Any, caplog: pytest.LogCaptureFixture
):
    assert make().load_asset_specs() == []
    assert build_fivetran_assets_definitions(workspace=make()) == []
    assert "shows no connections" in caplog.text


def test_lists_are_read_to_their_end_with_one_call_per_page(make: Any):
    with FivetranServer(page_limit=40) as server:
        for n in range(101):
            server.add_connection(f"c{n}", tables={f"s{n}": ["t"]})

        assert len(make(base_url=server.url).load_asset_specs()) == 101
        assert server.called("GET /v1/connections$") == 3
        assert server.called("GET /v1/destinations/") == 1


def test_a_list_that_refers_to_itself_is_not_read_forever(
    fivetran_server: FivetranServer, make: Any
):
    page = {"data": {"items": [], "nextCursor": "again"}}
    fivetran_server.inject(HttpFault.status(200, page), times=5)

    with pytest.raises(Unavailable, match="'again' came twice"):
        make().load_asset_specs()


def test_refused_credentials_are_reported_at_once_and_never_retried_nor_shown(
    fivetran_server: FivetranServer, make: Any
):
    workspace = make(api_key="my-key-1", api_secret="my-secret-1")

    with pytest.raises(Refused, match="Invalid authorization credentials") as refused:
        workspace.load_asset_specs()

    assert fivetran_server.calls == ["GET /v1/connections"]
    shown = f"{refused.value!r}{refused.value}{workspace!r}{workspace}{workspace.get_client()!r}"
    assert "my-secret-1" not in shown
    assert "my-key-1" not in shown


def test_passing_trouble_is_waited_out(fivetran_server: FivetranServer, make: Any):
    fivetran_server.add_connection("shop", tables=SHOP)
    fivetran_server.inject(HttpFault.status(502), times=2, on="/schemas")
    fivetran_server.inject(HttpFault.disconnected(), on="/destinations")
    fivetran_server.inject(HttpFault.rate_limited(0), on="/connections$")

    assert len(make().load_asset_specs()) == 2


def test_a_used_up_hour_is_reported_with_the_time_to_wait(make: Any):
    with FivetranServer(requests_per_hour=1) as server:
        server.add_connection("shop", tables=SHOP)

        with pytest.raises(Unavailable, match=r"another 3\d\d\d s"):
            make(base_url=server.url, api_key=server.api_key).load_asset_specs()


def test_definitions_load_from_the_last_snapshot_without_the_network(
    fivetran_server: FivetranServer, make: Any
):
    fivetran_server.add_connection("shop", tables=SHOP)
    make().load_asset_specs()
    calls = len(fivetran_server.calls)

    later = make(api_key="wrong", api_secret="wrong")
    assert len(later.load_asset_specs()) == 2
    assert len(build_fivetran_assets_definitions(workspace=later)) == 1
    assert len(fivetran_server.calls) == calls


def test_a_snapshot_holds_no_secret_and_one_of_another_account_or_format_is_taken_anew(
    fivetran_server: FivetranServer, make: Any, caplog: pytest.LogCaptureFixture
):
    fivetran_server.add_connection("shop", tables=SHOP, config={"password": "pg-pass-1"})
    workspace = make()
    workspace.load_asset_specs()
    path = workspace.state_file().path
    text = path.read_text()
    assert not [each for each in ("pg-pass-1", "local-secret", "local-key") if each in text]

    with FivetranServer() as other:
        other.add_connection("books", tables={"books": ["titles"]})
        assert keys(make(base_url=other.url).load_asset_specs()) == ["books/titles"]
    assert "is of another account" in caplog.text
    path.write_text(json.dumps({**json.loads(text), "format": 0}))
    assert keys(make().load_asset_specs()) == ["shop/customers", "shop/orders"]


def test_a_snapshot_that_is_named_is_used_and_one_that_does_not_fit_is_refused(
    fivetran_server: FivetranServer, make: Any, tmp_path: Path
):
    fivetran_server.add_connection("shop", tables=SHOP)
    workspace = make()
    workspace.load_asset_specs()
    kept = tmp_path / "fivetran.json"
    kept.write_bytes(workspace.state_file().path.read_bytes())
    fivetran_server.stop()

    assert len(make(snapshot_path=str(kept), base_url=None).load_asset_specs()) == 2
    with pytest.raises(InvalidInput, match="no snapshot of Fivetran"):
        make(snapshot_path=str(tmp_path / "none.json")).load_asset_specs()
    kept.write_text('{"__class__": "RepositoryLoadData"}')
    with pytest.raises(InvalidInput, match="cannot be read"):
        make(snapshot_path=str(kept)).load_asset_specs()


def test_in_development_the_account_is_asked_anew_and_an_outage_leaves_the_last_snapshot(
    fivetran_server: FivetranServer,
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    fivetran_server.add_connection("shop", tables=SHOP)
    make().load_asset_specs()
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")
    fivetran_server.add_connection("books", tables={"books": ["titles"]})
    assert len(make().load_asset_specs()) == 3

    fivetran_server.inject(HttpFault.status(503), times=100)
    assert len(make(request_max_retries=0).load_asset_specs()) == 3
    assert "stays that of" in caplog.text


def test_credentials_from_the_environment_are_read_when_they_are_needed(
    fivetran_server: FivetranServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FIVETRAN_ACCOUNT", "from-env")
    fivetran_server.add_connection("shop", tables=SHOP)
    workspace = FivetranWorkspace(
        account_id=EnvVar("FIVETRAN_ACCOUNT"),
        api_key=EnvVar("FIVETRAN_API_KEY"),
        api_secret=EnvVar("FIVETRAN_API_SECRET"),
    )

    assert len(load_fivetran_asset_specs(workspace)) == 2
    assert workspace.state_file().path.name == "from-env.json"


def test_decorators_ask_the_account_once_for_all_of_them(
    fivetran_server: FivetranServer, make: Any
):
    for n in range(3):
        fivetran_server.add_connection(f"c{n}", tables={f"s{n}": ["t"]})
    workspace = make()

    for n in range(3):
        assets = fivetran_assets(connector_id=f"c{n}_id", workspace=workspace, name=f"c{n}")
        assert keys(assets(lambda context: None).specs) == [f"s{n}/t"]
    assert fivetran_server.called("/connections$") == 1


def test_an_unknown_connection_is_refused_with_the_nearest(
    fivetran_server: FivetranServer, make: Any
):
    fivetran_server.add_connection("shop", connection_id="warm_ocean", tables=SHOP)

    with pytest.raises(InvalidInput, match=r"warm_ocean \(shop\)"):
        fivetran_assets(connector_id="warm_ozean", workspace=make())


def test_a_connection_without_tables_does_not_keep_the_others_from_loading(
    fivetran_server: FivetranServer, make: Any, caplog: pytest.LogCaptureFixture
):
    fivetran_server.add_connection("new")

    @fivetran_assets(connector_id="new_id", workspace=make(), name="new")
    def new(context): ...

    Definitions.validate_loadable(Definitions(assets=[new]))
    assert "has no tables, and so no assets" in caplog.text


def test_a_group_is_said_once(fivetran_server: FivetranServer, make: Any):
    class NoGroup(DagsterFivetranTranslator):
        def get_asset_spec(self, props: FivetranConnectorTableProps) -> AssetSpec:
            return super().get_asset_spec(props).replace_attributes(group_name=None)

    fivetran_server.add_connection("shop", tables=SHOP)
    workspace = make()
    with pytest.raises(InvalidInput, match="sets a group as well"):
        fivetran_assets(connector_id="shop_id", workspace=workspace, group_name="raw")
    assets = fivetran_assets(
        connector_id="shop_id",
        workspace=workspace,
        name="shop",
        group_name="raw",
        dagster_fivetran_translator=NoGroup(),
    )(lambda context: None)
    assert {spec.group_name for spec in assets.specs} == {"raw"}


def test_connections_of_one_name_get_ops_of_two(
    fivetran_server: FivetranServer, make: Any, caplog: pytest.LogCaptureFixture
):
    fivetran_server.add_connection("Shop", connection_id="a", tables={"s1": ["t"]})
    fivetran_server.add_connection("shop", connection_id="b", tables={"s2": ["t"]})
    fivetran_server.add_connection("books", tables={"s3": ["t"]})

    found = build_fivetran_assets_definitions(workspace=make())

    assert [each.op.name for each in found] == [
        "fivetran_shop_a",
        "fivetran_shop_b",
        "fivetran_books",
    ]
    assert "would be called fivetran_shop" in caplog.text


class Failing(DagsterFivetranTranslator):
    def get_asset_spec(self, props: FivetranConnectorTableProps) -> AssetSpec:
        raise KeyError(props.table)


class Same(DagsterFivetranTranslator):
    def get_asset_spec(self, props: FivetranConnectorTableProps) -> AssetSpec:
        return AssetSpec("same")


class Nothing(DagsterFivetranTranslator):
    def get_asset_spec(self, props: FivetranConnectorTableProps) -> Any:
        return None


@pytest.mark.parametrize(
    ("translator", "said"),
    [
        (Failing(), r"failed at table shop.orders of Fivetran connection 'shop_id'"),
        (Same(), r"shop.orders of connection 'shop_id'\n.*shop.customers of connection 'shop_id'"),
        (Nothing(), "returned no AssetSpec for table shop.orders"),
        (DagsterFivetranTranslator, "is a class"),
    ],
)
def test_a_translator_that_cannot_stand_is_refused_with_the_tables_it_failed_at(
    fivetran_server: FivetranServer, make: Any, translator: Any, said: str
):
    fivetran_server.add_connection("shop", tables=SHOP)

    with pytest.raises(InvalidInput, match=said):
        make().load_asset_specs(dagster_fivetran_translator=translator)


def test_a_translator_is_asked_once_per_table(fivetran_server: FivetranServer, make: Any):
    asked: list[str] = []

    class Counting(DagsterFivetranTranslator):
        def get_asset_spec(self, props: FivetranConnectorTableProps) -> AssetSpec:
            asked.append(props.table)
            return super().get_asset_spec(props)

    fivetran_server.add_connection("shop", tables=SHOP)
    fivetran_server.add_connection("books", tables={"books": ["titles"]})
    build_fivetran_assets_definitions(
        workspace=make(),
        dagster_fivetran_translator=Counting(),
        connector_selector_fn=lambda connector: connector.name == "shop",
    )

    assert sorted(asked) == ["shop.customers", "shop.orders"]


def test_ten_thousand_tables_of_one_connection_load(fivetran_server: FivetranServer, make: Any):
    tables = {f"s{n}": [f"t{m}" for m in range(100)] for n in range(100)}
    fivetran_server.add_connection("huge", tables=tables)

    (assets,) = build_fivetran_assets_definitions(workspace=make())

    assert len(list(assets.keys)) == 10_000
    assert len(fivetran_server.calls) == 3


def test_big_query_is_the_warehouse_that_others_call_bigquery(
    fivetran_server: FivetranServer, make: Any
):
    fivetran_server.add_group("bq", service="big_query", database="my-project")
    fivetran_server.add_connection("shop", tables={"shop": ["a b"]}, group_id="bq")

    (spec,) = make().load_asset_specs()

    assert spec.metadata["dagster/storage_kind"] == "bigquery"
    assert spec.metadata["dagster/table_name"] == 'my-project.shop."a b"'
    assert "big_query" in spec.kinds


def test_the_state_lies_in_the_project_unless_said_otherwise(
    fivetran_server: FivetranServer, make: Any
):
    fivetran_server.add_connection("shop", tables=SHOP)
    workspace = make()
    workspace.load_asset_specs()

    assert workspace.state_file().path == Path.cwd() / ".dagweave/fivetran/acme.json"
