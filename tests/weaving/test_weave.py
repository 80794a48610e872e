from __future__ import annotations

import logging

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetIn,
    AssetKey,
    AssetSpec,
    ConfigurableIOManager,
    Definitions,
    Output,
    TimeWindowPartitionMapping,
    asset,
    asset_check,
    define_asset_job,
    materialize,
    multi_asset,
)

from dagweave.weaving import Lineage, TableRef, weave


def parents(defs: Definitions) -> dict[str, set[str]]:
    """What each asset of `defs` depends on, by its shown key."""
    graph = defs.resolve_asset_graph()
    return {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }


def lineage(defs: Definitions) -> Lineage:
    found = Lineage.from_metadata(defs.metadata)
    assert found is not None
    return found


def at(table: str, kind: str | None = "duckdb") -> dict[str, str]:
    return TableRef.parse(table, kind=kind).to_metadata()


def writer(key: str, table: str, **arguments):
    @asset(key=AssetKey(key.split("/")), metadata=at(table), **arguments)
    def written():
        return None

    return written


def reader(key: str, dep: str, table: str, **arguments):
    deps = [AssetDep(AssetKey(dep.split("/")), metadata=at(table))]

    @asset(key=AssetKey(key.split("/")), deps=deps, **arguments)
    def read():
        return None

    return read


STORED: dict[AssetKey, object] = {}


class Tables(ConfigurableIOManager):
    """An in-memory I/O manager that names tables after keys, as a warehouse's does."""

    database: str = "db"

    def table_of(self, asset_key, metadata):
        schema = asset_key.path[-2] if len(asset_key.path) > 1 else "public"
        return TableRef(asset_key.path[-1], schema, self.database, "duckdb")

    def handle_output(self, context, obj):
        STORED[context.asset_key] = obj

    def load_input(self, context):
        return STORED[context.asset_key]


def test_a_dependency_moves_to_the_asset_that_writes_its_table_whatever_the_keys_are():
    defs = weave(
        Definitions(
            [
                writer("github/issues", "raw_github.issues"),
                reader("stg", "gh/issues", "db.raw_github.issues"),
            ]
        )
    )

    assert parents(defs) == {"github/issues": set(), "stg": {"github/issues"}}
    assert [(x.reader, x.loose, x.writer) for x in lineage(defs).links] == [
        (("stg",), ("gh", "issues"), ("github", "issues"))
    ]


def test_definitions_of_several_modules_are_woven_together():
    defs = weave(
        Definitions([writer("a", "raw.t")]),
        Definitions([reader("b", "source/t", "raw.t")]),
    )

    assert parents(defs)["b"] == {"a"}


def test_a_partition_mapping_survives_the_move():
    mapping = TimeWindowPartitionMapping(start_offset=-1)

    @asset(deps=[AssetDep("loose", partition_mapping=mapping, metadata=at("raw.t"))])
    def read(): ...

    defs = weave(Definitions([writer("a", "raw.t"), read]))

    dep = next(iter(defs.resolve_assets_def("read").get_asset_spec(AssetKey("read")).deps))
    assert (dep.asset_key, dep.partition_mapping) == (AssetKey("a"), mapping)


def test_an_argument_moves_too_and_loads_what_the_writer_stored():
    seen = []

    @asset(key=["shop", "orders"])
    def orders():
        return 41

    @asset(
        key="report", ins={"rows": AssetIn(key=["marts", "orders"], metadata=at("db.shop.orders"))}
    )
    def report(rows):
        seen.append(rows)

    defs = weave(Definitions([orders, report], resources={"io_manager": Tables()}))
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process()

    assert result.success
    assert parents(defs)["report"] == {"shop/orders"}
    assert seen == [41]


def test_an_io_manager_says_which_table_is_behind_a_key():
    @asset(key=["shop", "orders"])
    def orders():
        return 1

    @asset(ins={"rows": AssetIn(key=["warehouse", "shop", "orders"])})
    def report(rows):
        return rows

    defs = weave(Definitions([orders, report], resources={"io_manager": Tables()}))

    assert parents(defs)["report"] == {"shop/orders"}


def test_two_writers_of_one_table_are_named_and_nothing_is_guessed(caplog):
    with caplog.at_level(logging.WARNING, "dagweave.weaving"):
        defs = weave(
            Definitions(
                [writer("a", "one.raw.t"), writer("b", "two.raw.t"), reader("r", "raw/t", "raw.t")]
            )
        )

    assert parents(defs)["r"] == {"raw/t"}
    (found,) = lineage(defs).ambiguous
    assert found.writers == (("a",), ("b",))
    assert "more than one writer: a, b" in caplog.text


def test_two_assets_that_name_the_same_table_do_not_stop_the_code_location():
    two = [writer("a", "raw.t"), writer("b", "raw.t")]
    defs = weave(
        Definitions([*two, reader("r1", "raw/t", "raw.t"), reader("r2", "raw/t", "raw.t")])
    )

    assert parents(defs)["r1"] == parents(defs)["r2"] == {"raw/t"}
    assert {found.reader for found in lineage(weave(defs)).ambiguous} == {("r1",), ("r2",)}


def test_what_stays_loose_says_why():
    defs = weave(
        Definitions(
            [
                writer("a", "raw.t"),
                reader("r1", "x", "other.t"),
                reader("r2", "y", "raw.nobody"),
                asset(name="r3", deps=["z"])(lambda: None),
            ]
        )
    )

    reasons = {found.loose: found.reason for found in lineage(defs).loose}
    assert reasons == {
        ("x",): "nobody writes it; of the same name, but elsewhere: a (raw.t)",
        ("y",): "nobody here writes it",
        ("z",): "its table is not known",
    }


def test_a_link_that_would_close_a_circle_is_not_made():
    defs = weave(
        Definitions([reader("first", "raw/t", "raw.t"), writer("last", "raw.t", deps=["first"])])
    )

    assert parents(defs) == {"raw/t": set(), "first": {"raw/t"}, "last": {"first"}}
    assert "comes after the reader" in lineage(defs).loose[0].reason


@pytest.mark.parametrize("can_subset", [True, False])
def test_a_circle_of_steps_is_none_either(can_subset):
    @multi_asset(
        specs=[AssetSpec("a"), AssetSpec("b", deps=[AssetDep("raw_t", metadata=at("raw.t"))])],
        can_subset=can_subset,
    )
    def both(): ...

    defs = weave(Definitions([both, writer("last", "raw.t", deps=["a"])]))

    Definitions.validate_loadable(defs)
    assert defs.resolve_implicit_global_asset_job_def()
    assert parents(defs)["b"] == ({"last"} if can_subset else {"raw_t"})


def test_a_circle_by_way_of_another_step_is_none_either():
    @multi_asset(specs=[AssetSpec("x", deps=["first"]), AssetSpec("y")])
    def between(): ...

    defs = weave(
        Definitions(
            [reader("first", "raw/t", "raw.t"), between, writer("last", "raw.t", deps=["y"])]
        )
    )

    Definitions.validate_loadable(defs)
    assert "comes after the reader" in lineage(defs).loose[0].reason


def test_a_table_that_is_written_and_read_in_one_step_links_within_it():
    @multi_asset(
        specs=[
            AssetSpec("a", metadata=at("raw.t")),
            AssetSpec("b", deps=[AssetDep("raw_t", metadata=at("raw.t"))]),
            AssetSpec("c", deps=["b"]),
        ]
    )
    def all_at_once(): ...

    defs = weave(Definitions([all_at_once]))

    assert parents(defs)["b"] == {"a"}
    assert materialize(list(defs.assets)).success


def test_two_loose_keys_of_one_table_become_one_dependency():
    @asset(deps=[AssetDep("x", metadata=at("raw.t")), AssetDep("y", metadata=at("db.raw.t")), "a"])
    def read(): ...

    defs = weave(Definitions([writer("a", "raw.t"), read]))

    assert parents(defs)["read"] == {"a"}
    assert materialize(list(defs.assets)).success


def test_a_declared_external_asset_lends_its_table_to_those_who_depend_on_it():
    external = AssetSpec("landing", metadata=at("raw.t"))
    defs = weave(
        Definitions(
            [external, writer("a", "raw.t"), asset(name="r", deps=["landing"])(lambda: None)]
        )
    )

    assert parents(defs)["r"] == {"a"}


def test_a_check_of_a_source_follows_the_table_to_its_writer():
    @asset_check(asset="source", metadata=at("raw.t"))
    def not_empty():
        return AssetCheckResult(passed=True)

    defs = weave(Definitions([writer("a", "raw.t")], asset_checks=[not_empty]))

    graph = defs.resolve_asset_graph()
    assert [(k.asset_key.to_user_string(), k.name) for k in graph.asset_check_keys] == [
        ("a", "not_empty")
    ]


def test_woven_multi_assets_still_run_whole_and_in_part():
    @multi_asset(
        specs=[
            AssetSpec("stg", deps=[AssetDep("src", metadata=at("raw.t"))]),
            AssetSpec("mart", deps=["stg"]),
        ],
        check_specs=[AssetCheckSpec("fine", asset="stg")],
        can_subset=True,
    )
    def models(context):
        for key in sorted(context.op_execution_context.selected_asset_keys, reverse=True):
            yield Output(None, key.to_python_identifier())
        if context.op_execution_context.selected_asset_check_keys:
            yield AssetCheckResult(passed=True, check_name="fine", asset_key="stg")

    defs = weave(
        Definitions([writer("a", "raw.t"), models], jobs=[define_asset_job("part", "stg")])
    )

    whole = defs.resolve_implicit_global_asset_job_def().execute_in_process()
    part = defs.resolve_job_def("part").execute_in_process()

    assert [event.asset_key.path[0] for event in whole.get_asset_materialization_events()] == [
        "a",
        "stg",
        "mart",
    ]
    assert [event.asset_key.path[0] for event in part.get_asset_materialization_events()] == ["stg"]
    assert part.get_asset_check_evaluations()[0].passed


def test_weaving_twice_changes_nothing_more():
    once = weave(Definitions([writer("a", "raw.t"), reader("r", "x", "raw.t")]))

    assert parents(weave(once)) == parents(once)


@pytest.mark.parametrize("resource", [None, object(), "io_manager"])
def test_a_resource_that_names_no_tables_is_passed_over(resource):
    @asset(ins={"rows": AssetIn(key="elsewhere")})
    def report(rows): ...

    defs = weave(
        Definitions(
            [report, AssetSpec("elsewhere")], resources={"io_manager": resource} if resource else {}
        )
    )

    assert lineage(defs).loose[0].reason == "its table is not known"
