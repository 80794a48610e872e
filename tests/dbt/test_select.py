from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.manifest import Manifest
from dagweave.dbt.select import along_with, select

# One process, one parse: dbt itself says what each expression selects.
DBT_LS = """
import json, sys
from dbt.cli.main import dbtRunner
manifest = dbtRunner().invoke(["parse", "--quiet"]).result
found = []
for expression in json.load(open(sys.argv[1])):
    result = dbtRunner(manifest=manifest).invoke(
        ["ls", "--quiet", "--output", "json", "--output-keys", "unique_id", "--resource-type", "all",
         *expression]
    )
    found.append([json.loads(line)["unique_id"] for line in result.result or []] if result.success else None)
json.dump(found, open(sys.argv[2], "w"))
"""
OPTIONS = {
    "--select": "select",
    "--exclude": "exclude",
    "--selector": "selector",
    "--indirect-selection": "indirect",
}
METHODS = [
    "tag:staging", "tag:night*", "tag:pii", "tag:none", "path:models", "path:models/marts/finance",
    "path:models/*/finance", "path:models/**/*.sql", "models/staging/stg_orders.sql",
    "path:models/staging/staging.yml", "file:revenue.sql", "file:stg_*", "source:raw",
    "source:raw.orders", "source:*.cust*", "source:shop.raw.*", "resource_type:model",
    "resource_type:test", "resource_type:source", "resource_type:unit_test", "resource_type:exposure",
    "package:shop", "package:this", "config.materialized:table", "config.severity:WARN",
    "config.meta.tier:1", "config.tags:pii", "config.enabled:true", "config.schema:finance",
    "config.unique_key:id", "test_type:generic", "test_type:singular", "test_type:data",
    "test_type:unit", "test_name:not_null", "test_name:rel*", "group:finance", "group:*",
    "access:public", "access:protected", "exposure:dashboard", "exposure:shop.*",
    "unit_test:revenue_adds_up", "version:latest", "version:old", "version:none", "fqn:*",
    "shop", "shop.marts", "staging.*", "marts.finance.*", "*orders*", "stg_?rders", "dim_customers",
    "dim_customers.v1", "dim_customers_v2", "shop.marts.finance.dim_customers.v2", "int_orders",
    "order_history", "countries", "nowhere", "fqn:orders",
]  # fmt: skip


def expressions(seed: int, count: int) -> list[list[str]]:
    rng = random.Random(seed)

    def criterion() -> str:
        before = rng.choice(["", "", "", "+", "1+", "2+", "0+", "@"])
        after = "" if before == "@" else rng.choice(["", "", "", "+", "+1", "+2"])
        return before + rng.choice(METHODS) + after

    def union() -> str:
        words = (
            ",".join(criterion() for _ in range(rng.choice([1, 1, 2, 3])))
            for _ in range(rng.choice([1, 1, 2, 3]))
        )
        return " ".join(words)

    found: list[list[str]] = [["--select", method] for method in METHODS]
    found += [["--selector", name] for name in ("nightly", "tidy", "both")]
    for _ in range(count):
        expression = ["--select", union()]
        if rng.random() < 0.4:
            expression += ["--exclude", union()]
        if rng.random() < 0.5:
            mode = rng.choice(["eager", "cautious", "buildable", "empty"])
            expression += ["--indirect-selection", mode]
        found.append(expression)
    return found


def test_the_same_nodes_are_selected_as_by_dbt(shop_dir: Path, manifest_path: Path, tmp_path: Path):
    asked = expressions(seed=1, count=100)
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    subprocess.run(
        [sys.executable, "-c", DBT_LS, tmp_path / "asked.json", tmp_path / "told.json"],
        cwd=shop_dir,
        capture_output=True,
        check=True,
    )
    told = json.loads((tmp_path / "told.json").read_text())
    manifest = Manifest.of(manifest_path)

    differing: dict[str, object] = {}
    for expression, ids in zip(asked, told, strict=True):
        options = {
            OPTIONS[name]: value
            for name, value in zip(expression[::2], expression[1::2], strict=True)
        }
        ours = select(manifest, **options).ids
        if ids is None or ours != set(ids):
            differing[" ".join(expression)] = ours ^ set(ids or ())
    assert differing == {}
    assert len({frozenset(ids) for ids in told}) > 50


@pytest.fixture(scope="module")
def manifest(manifest_path: Path) -> Manifest:
    return Manifest.of(manifest_path)


parts = st.builds("".join, st.tuples(st.sampled_from(["", "+", "2+"]), st.sampled_from(METHODS)))


@given(left=parts, right=parts)
@settings(max_examples=60, deadline=None)
def test_space_is_union_comma_intersection_exclude_difference(
    manifest: Manifest, left: str, right: str
):
    one, other = select(manifest, select=left).ids, select(manifest, select=right).ids

    assert select(manifest, select=f"{left} {right}").ids == one | other
    assert select(manifest, select=f"{left},{right}").ids == one & other
    assert select(manifest, select=left, exclude=right).ids == one - other


@given(part=parts, mode=st.sampled_from(["eager", "cautious", "buildable", "empty"]))
@settings(max_examples=60, deadline=None)
def test_more_tests_come_along_the_less_cautious_dbt_is(manifest: Manifest, part: str, mode: str):
    bare = select(manifest, select=part, indirect="empty").ids

    found = select(manifest, select=part, indirect=mode).ids

    assert bare <= found <= select(manifest, select=part).ids
    assert found == bare | along_with(manifest, bare, mode)
    assert all(id_.startswith(("test.", "unit_test.")) for id_ in found - bare)


def test_a_selection_is_evaluated_once(manifest: Manifest):
    assert select(manifest, select="+orders") is select(manifest, select="+orders")


@pytest.mark.parametrize(
    ("expression", "nearest"),
    [
        ("stg_order", "stg_orders"),
        ("stagng.*", r"staging\.\*"),
        ("tag:nightli", "nightly"),
        ("source:rav", "raw"),
        ("path:models/stagin", "models/staging"),
        ("orders tag:nightli", "nightly"),
    ],
)
def test_what_matches_nothing_is_told_with_the_nearest_names(
    expression: str, nearest: str, manifest: Manifest
):
    found = select(manifest, select=expression)

    [sentence] = found.unmatched
    assert "matches nothing" in sentence
    assert nearest.replace("\\", "") in sentence


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"select": "label:x"}, "method 'label'(?s:.*)access, config, exposure"),
        ({"select": "state:modified+"}, "method 'state'(?s:.*)state of an earlier run"),
        ({"select": "@orders+"}, "both '@' before and '\\+' behind"),
        ({"select": "resource_type:table"}, "no dbt resource type 'table'(?s:.*)model"),
        ({"select": "test_type:big"}, "no dbt test type 'big'"),
        ({"select": "version:best"}, "no dbt version kind 'best'"),
        ({"select": "source:a.b.c.d"}, "has 4 parts"),
        ({"selector": "nightli"}, "no dbt selector 'nightli'(?s:.*)nightly"),
        ({"selector": "nightly", "select": "tag:x"}, "cannot be combined"),
        ({"selector": "nightly", "exclude": "tag:x"}, "cannot be combined"),
    ],
)
def test_what_cannot_be_evaluated_says_why(options: dict[str, str], said: str, manifest: Manifest):
    with pytest.raises(InvalidInput, match=said):
        select(manifest, **options)


def test_selectors_that_name_each_other_in_a_circle_are_refused(
    write_manifest: Callable[..., Path],
):
    path = write_manifest(
        selectors={
            "a": {"definition": {"method": "selector", "value": "b"}},
            "b": {"definition": {"method": "selector", "value": "a"}},
        }
    )

    with pytest.raises(InvalidInput, match="no dbt selector 'a'"):
        select(Manifest.of(path), selector="a")


def test_a_deep_project_is_no_deeper_than_the_stack(write_manifest: Callable[..., Path]):
    path = write_manifest(
        *(
            {
                "unique_id": f"model.shop.m{n}",
                "depends_on": {"nodes": [f"model.shop.m{n - 1}"] if n else []},
            }
            for n in range(3_000)
        )
    )

    assert len(select(Manifest.of(path), select="+m2999").ids) == 3_000
