"""What a workspace becomes: specs and definitions, from live calls and from snapshots."""

from __future__ import annotations

from typing import Any

import pytest
from dagster import AssetKey

from dagweave._kernel.errors import InvalidInput, Refused
from dagweave.airbyte import (
    AirbyteCloudWorkspace,
    AirbyteMetadataSet,
    DagsterAirbyteTranslator,
    airbyte_assets,
    build_airbyte_assets_definitions,
    load_airbyte_cloud_asset_specs,
)
from dagweave.testing import AirbyteServer, AirbyteStream, HttpFault


def keys(specs: Any) -> list[str]:
    return sorted(spec.key.to_user_string() for spec in specs)


def test_a_stream_is_an_asset_with_its_place_in_airbyte_and_in_the_warehouse(
    airbyte_server: AirbyteServer, make: Any
):
    airbyte_server.add_connection(
        "shop",
        streams=["orders", AirbyteStream("secret", selected=False)],
        prefix="raw_",
    )

    (spec,) = make().load_asset_specs()

    assert spec.key == AssetKey(["raw_orders"])
    assert spec.kinds == {"airbyte", "snowflake"}
    assert spec.group_name is None
    assert spec.metadata["dagster/table_name"] == "RAW.PUBLIC.raw_orders"
    assert spec.metadata["dagster/storage_kind"] == "snowflake"
    columns = spec.metadata["dagster/column_schema"].columns
    assert [(each.name, each.type) for each in columns] == [
        ("id", "['null', 'string']"),
        ("name", "['null', 'string']"),
    ]
    assert AirbyteMetadataSet.extract(spec.metadata) == AirbyteMetadataSet(
        connection_id="shop_id", connection_name="shop", stream_prefix="raw_"
    )


@pytest.mark.parametrize("count", [3, 205])
def test_a_workspace_of_any_size_is_read_in_a_few_calls(
    airbyte_server: AirbyteServer, make: Any, count: int
):
    for n in range(count):
        airbyte_server.add_connection(f"c{n}", streams=[f"t{n}"], destination_id=f"d{n % 3}")

    assert len(make().load_asset_specs()) == count
    assert airbyte_server.calls == [
        "POST /api/public/v1/applications/token",
        "POST /api/v1/connections/list",
        "GET /api/public/v1/destinations",
    ]


def test_the_public_api_alone_will_do(make: Any):
    with AirbyteServer(with_configuration_api=False) as server:
        for n in range(205):
            server.add_connection(f"c{n}", streams=[f"t{n}"])

        assert len(make(server, public_api_only=True).load_asset_specs()) == 205
        assert server.called("GET /api/public/v1/connections$") == 3
        with pytest.raises(Refused, match="public_api_only=True"):
            make(server, workspace_id="other").get_client().workspace()


def test_streams_of_one_name_in_two_namespaces_are_two_assets_where_keys_have_the_schema(
    airbyte_server: AirbyteServer, make: Any
):
    streams = [AirbyteStream("orders", "eu"), AirbyteStream("orders", "us")]
    airbyte_server.add_connection("shop", streams=streams, namespace_definition="source")

    with pytest.raises(InvalidInput, match=r"eu.orders of connection 'shop_id'\n.*us.orders"):
        make().load_asset_specs()
    specs = make().load_asset_specs(DagsterAirbyteTranslator(namespaced_keys=True))
    assert keys(specs) == ["eu/orders", "us/orders"]
    assert specs[0].metadata["dagster/table_name"] == "RAW.eu.orders"


def test_a_format_of_namespaces_is_filled_in(airbyte_server: AirbyteServer, make: Any):
    airbyte_server.add_connection(
        "shop",
        streams=[AirbyteStream("orders", "eu")],
        namespace_definition="customformat",
        namespace_format="lake_${SOURCE_NAMESPACE}",
    )

    (spec,) = make().load_asset_specs()
    assert spec.metadata["dagster/table_name"] == "RAW.lake_eu.orders"


@pytest.mark.parametrize("public_api_only", [False, True])
def test_refused_credentials_are_reported_at_once_and_never_shown(
    airbyte_server: AirbyteServer, make: Any, public_api_only: bool
):
    workspace = make(client_secret="my-secret-1", public_api_only=public_api_only)

    with pytest.raises(Refused, match="Invalid client") as refused:
        workspace.load_asset_specs()

    assert airbyte_server.calls == ["POST /api/public/v1/applications/token"]
    assert "my-secret-1" not in f"{refused.value!r}{workspace!r}{workspace.credentials!r}"


def test_users_with_a_password_and_nobody_at_all_are_let_in(make: Any):
    with AirbyteServer(auth="basic") as server:
        server.add_connection("shop", streams=["orders"])
        given = {"username": server.username, "password": server.password}
        nobody = {"client_id": None, "client_secret": None}
        assert len(make(server, **nobody, **given).load_asset_specs()) == 1
        with pytest.raises(Refused, match="Unauthorized"):
            make(server, **nobody, **given | {"password": "wrong"}).get_client().workspace()
    with AirbyteServer(auth="none") as server:
        server.add_connection("shop", streams=["orders"])
        assert len(make(server, **nobody).load_asset_specs()) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"client_secret": None}, "client_id and client_secret together"),
        ({"username": "u"}, "username and password together"),
        ({"username": "u", "password": "p"}, "either client_id"),
    ],
)
def test_credentials_that_are_half_given_or_given_twice_are_refused(
    make: Any, given: dict[str, Any], said: str
):
    with pytest.raises(InvalidInput, match=said):
        make(**given).load_asset_specs()


def test_a_token_is_renewed_before_it_ends_and_when_it_is_withdrawn(make: Any):
    with AirbyteServer(token_lasts_s=0.3) as server:
        server.add_connection("shop", streams=["orders"])
        client = make(server).get_client()
        client.workspace()
        server._tokens.clear()
        client.workspace()
        assert server.called("/applications/token") == 2


def test_a_workspace_of_the_cloud_can_be_led_elsewhere(airbyte_server: AirbyteServer):
    airbyte_server.add_connection("shop", streams=["orders"])
    workspace = AirbyteCloudWorkspace(
        workspace_id=airbyte_server.workspace_id,
        client_id=airbyte_server.client_id,
        client_secret=airbyte_server.client_secret,
    )

    assert keys(load_airbyte_cloud_asset_specs(workspace)) == ["orders"]


def test_definitions_load_from_the_last_snapshot_without_the_network(
    airbyte_server: AirbyteServer, make: Any
):
    airbyte_server.add_connection("shop", streams=["orders"])
    make().load_asset_specs()
    calls = len(airbyte_server.calls)

    assert len(build_airbyte_assets_definitions(workspace=make(client_secret="wrong"))) == 1
    assert len(airbyte_server.calls) == calls


def test_an_unknown_connection_is_refused_with_the_nearest(
    airbyte_server: AirbyteServer, make: Any
):
    airbyte_server.add_connection("shop", streams=["orders"])

    with pytest.raises(InvalidInput, match=r"shop_id \(shop\)"):
        airbyte_assets(connection_id="shop_if", workspace=make())


def test_an_empty_workspace_and_a_connection_without_streams_are_no_errors(
    airbyte_server: AirbyteServer, make: Any, caplog: pytest.LogCaptureFixture
):
    assert make().fetch_airbyte_workspace_data().connections_by_id == {}
    assert "shows no connections" in caplog.text
    airbyte_server.add_connection("empty")
    airbyte_server.add_connection("off", streams=["t"], status="inactive")
    assert keys(make().load_asset_specs()) == ["t"]
    assert "(empty_id) has no streams" in caplog.text
    assert "'off' (off_id) is inactive" in caplog.text


def test_passing_trouble_is_waited_out(airbyte_server: AirbyteServer, make: Any):
    airbyte_server.add_connection("shop", streams=["orders"])
    airbyte_server.inject(HttpFault.rate_limited(None), on="destinations")
    airbyte_server.inject(HttpFault.status(503), on="connections/list")

    assert len(make().load_asset_specs()) == 1
