"""What is there if it is asked for: nested tables as assets, a check of schemas, partial success."""

from typing import Any

import dlt
import pytest
from dagster import AssetCheckKey, AssetKey, AssetSelection, Definitions, RetryPolicy

from dagweave._kernel.errors import InvalidInput
from dagweave.dlt import DagsterDltResource, build_dlt_asset_specs

ORDERS, LINES = AssetKey(["shop", "orders"]), AssetKey(["shop", "orders__lines"])


@dlt.source
def shop(order: Any = None):
    order = order or {"id": 1, "lines": [{"sku": "tea"}, {"sku": "cup"}]}
    return dlt.resource([order], name="orders", write_disposition="merge", primary_key="id")


def nested(assets_of, source=None, **options: Any):
    tables = {"orders": ["orders__lines"]}
    return assets_of(source or shop(), name="shop", nested_tables=tables, **options)


def test_a_nested_table_can_be_an_asset_that_depends_on_its_resource(assets_of, load):
    assets = nested(assets_of, group_name="raw")

    (spec,) = [spec for spec in assets.specs if spec.key == LINES]
    assert spec.metadata["dagster/table_name"] == "wh.raw.orders__lines"
    assert [dep.asset_key for dep in spec.deps] == [ORDERS]
    assert (spec.group_name, spec.kinds) == ("raw", {"dlt", "duckdb"})

    metadata = load(assets).metadata
    assert metadata["shop/orders"]["rows_loaded"] == 1
    assert metadata["shop/orders__lines"]["rows_loaded"] == 2
    assert metadata["shop/orders__lines"]["dagster/table_name"] == "wh.raw.orders__lines"
    columns = metadata["shop/orders__lines"]["dagster/column_schema"].columns
    assert columns[0].name == "sku"


def test_a_nested_table_alone_is_loaded_with_its_resource(assets_of, load, query):
    metadata = load(nested(assets_of, fetch_row_count=True), selection=[LINES]).metadata

    assert list(metadata) == ["shop/orders__lines"]
    assert metadata["shop/orders__lines"]["dagster/row_count"] == 2
    assert query("select count(*) from raw.orders") == [(1,)]


def test_a_nested_table_that_got_no_row_has_none(assets_of, load):
    assets = nested(assets_of, shop({"id": 1}), fetch_row_count=True)

    lines = load(assets).metadata["shop/orders__lines"]

    assert (lines["rows_loaded"], lines["dagster/row_count"]) == (0, 0)


def test_a_nested_table_of_no_resource_is_refused(make_pipeline):
    with pytest.raises(InvalidInput, match="'baskets'") as refused:
        build_dlt_asset_specs(shop(), make_pipeline(), nested_tables={"baskets": ["x"]})

    assert "orders" in str(refused.value)


def test_a_nested_table_of_a_source_given_as_a_function(assets_of, load):
    metadata = load(nested(assets_of, shop)).metadata

    assert metadata["shop/orders__lines"]["rows_loaded"] == 2


def checked(assets_of, load, *orders: dict[str, Any]) -> list[Any]:
    found = []
    for order in orders:
        assets = assets_of(shop(order), name="shop", check_schema_changes=True)
        (check,) = load(assets).result.get_asset_check_evaluations()
        found.append(check)
    return found


def test_a_check_warns_when_a_load_changes_columns(assets_of, load):
    first, same, more, other = checked(
        assets_of,
        load,
        {"id": 1, "total": 1},
        {"id": 2, "total": 2},
        {"id": 3, "total": 3, "tip": 1},
        {"id": 4, "total": "four"},
    )

    assert [check.passed for check in (first, same, more, other)] == [True, True, False, False]
    assert more.severity.value == "WARN"
    assert more.description == "The load changed columns. orders: tip"
    assert more.metadata["changed_columns"].value == {"orders": ["tip"]}
    assert other.metadata["changed_columns"].value == {"orders": ["total__v_text"]}
    assert other.metadata["schema_version"].value > first.metadata["schema_version"].value


def test_a_new_nested_table_changes_a_schema_as_well(assets_of, load):
    _, check = checked(assets_of, load, {"id": 1}, {"id": 2, "lines": [{"sku": "tea"}]})

    assert list(check.metadata["changed_columns"].value) == ["orders__lines"]


def test_the_check_is_there_only_if_asked_for_and_can_be_left_out_of_a_run(assets_of, load):
    check = AssetCheckKey(ORDERS, "schema_is_unchanged")
    plain = Definitions([assets_of(shop(), name="shop")], resources={"dlt": DagsterDltResource()})
    assert check not in plain.resolve_asset_graph().asset_check_keys

    assets = assets_of(shop(), name="shop", check_schema_changes=True)
    loaded = load(assets, selection=AssetSelection.assets(ORDERS) - AssetSelection.checks(check))

    assert loaded.result.get_asset_check_evaluations() == []
    assert list(loaded.metadata) == ["shop/orders"]


def test_every_load_says_the_version_of_its_schema(assets_of, load):
    assert load(assets_of(shop(), name="shop")).metadata["shop/orders"]["schema_version"] >= 1


@dlt.source
def three():
    @dlt.resource
    def good():
        yield [{"id": 1}]

    @dlt.resource
    def bad():
        raise ConnectionError("the api is down")
        yield

    @dlt.resource(columns={"id": {"nullable": False}})
    def refused():
        yield [{"other": 1, "id": None}]

    return bad, good, refused


def test_one_resource_that_fails_stops_all_unless_partial_success_is_asked_for(
    assets_of, load, query
):
    assets = assets_of(three(), name="t", retry_policy=RetryPolicy(max_retries=0))

    whole = load(assets, raise_on_error=False)
    part = load(
        assets,
        raise_on_error=False,
        resources={"dlt": DagsterDltResource(allow_partial_success=True)},
    )

    assert whole.metadata == {}
    assert list(part.metadata) == ["t/good"]
    assert part.metadata["t/good"]["rows_loaded"] == 1
    assert query("select id from raw.good") == [(1,)]
    assert "2 of 3 resources failed, and the others were loaded." in part.complaint
    assert "the api is down" in part.complaint
    assert "refused: " in part.complaint
    assert not part.result.success


def test_partial_success_of_everything_is_success(assets_of, load):
    assets = assets_of(shop(), name="shop")

    loaded = load(assets, resources={"dlt": DagsterDltResource(allow_partial_success=True)})

    assert loaded.result.success
    assert loaded.metadata["shop/orders"]["rows_loaded"] == 1
