"""Thousands of selections of generated projects, held against what dbt itself selects.

`DAGWEAVE_TEST_SELECTIONS` says how many of each project, `DAGWEAVE_TEST_SEED` which projects. What
was found so stands below by its name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.manifest import Manifest
from dagweave.dbt.select import select

SELECTIONS = int(os.environ.get("DAGWEAVE_TEST_SELECTIONS", "1000"))
SEED = int(os.environ.get("DAGWEAVE_TEST_SEED", "1"))
PROJECTS = 3
# dbt itself, which is imported in a process of its own: other tests see that none is here.
ORACLE = Path(__file__).parents[1] / "dbt_oracle.py"


def ours(manifest: Manifest, said: dict[str, Any]) -> list[str] | None:
    try:
        return sorted(select(manifest, **said).ids)
    except InvalidInput:
        return None


def test_thousands_of_selections_of_generated_projects_are_what_dbt_selects(tmp_path: Path):
    folders = [tmp_path / f"project_{SEED + at}" for at in range(PROJECTS)]
    projects = [f"{folder}:{SEED + at}" for at, folder in enumerate(folders)]
    done = subprocess.run(
        [sys.executable, ORACLE, str(SELECTIONS), *projects],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    differing: list[dict[str, Any]] = []
    distinct: set[tuple[str, ...]] = set()
    for folder in folders:
        manifest = Manifest.of(folder / "target" / "manifest.json")
        asked: list[dict[str, Any]] = json.loads((folder / "asked.json").read_text())
        told: list[list[str] | None] = json.loads((folder / "told.json").read_text())
        for said, ids in zip(asked, told, strict=True):
            distinct.add((folder.name, *(ids or ())))
            if (found := ours(manifest, said)) != ids:
                differing.append({"project": folder.name, **said, "dbt": ids, "ours": found})
    assert differing == []
    assert len(distinct) > SELECTIONS * PROJECTS / 4


@pytest.mark.parametrize("options", [{"select": "@orders"}, {"select": "+clean"}])
def test_hooks_lead_from_node_to_node_but_are_not_selected(
    options: dict[str, str], write_manifest: Callable[..., Path]
):
    reads = {"depends_on": {"nodes": ["model.shop.orders", "model.shop.users"]}}
    path = write_manifest(
        {"unique_id": "model.shop.orders"},
        {"unique_id": "model.shop.users"},
        {"unique_id": "operation.shop.clean", **reads},
    )

    found = select(Manifest.of(path), **options).ids

    assert found == {"model.shop.orders", "model.shop.users"}


def two_models_under_test(write_manifest: Callable[..., Path], **selectors: Any) -> Manifest:
    """Two models on two sources, with a test of both models, and one of a model and a source."""
    both = {"depends_on": {"nodes": ["model.shop.a", "model.shop.b"]}}
    source = {"depends_on": {"nodes": ["model.shop.a", "source.shop.raw.t"]}}
    named = {name: {"name": name, "definition": what} for name, what in selectors.items()}
    path = write_manifest(
        {"unique_id": "model.shop.a", "tags": ["night"]},
        {"unique_id": "model.shop.b"},
        {"unique_id": "test.shop.both", **both},
        {"unique_id": "test.shop.with_source", **source},
        {"unique_id": "source.shop.raw.t", "source_name": "raw", "fqn": ["shop", "raw", "t"]},
        selectors=named,
    )
    return Manifest.of(path)


def test_a_union_in_yaml_brings_no_tests_that_its_parts_do_not_bring(
    write_manifest: Callable[..., Path],
):
    parts = [{"method": "fqn", "value": "a"}, {"method": "fqn", "value": "b"}]
    manifest = two_models_under_test(write_manifest, two={"union": parts})

    by_name = select(manifest, selector="two", indirect="cautious").ids
    written = select(manifest, select="a b", indirect="cautious").ids

    assert by_name == {"model.shop.a", "model.shop.b"}
    assert written == by_name | {"test.shop.both"}


def test_what_is_combined_does_not_count_sources_as_buildable(
    write_manifest: Callable[..., Path],
):
    manifest = two_models_under_test(write_manifest)

    # A part by itself does; what waits for two parts does not.
    assert "test.shop.with_source" in select(manifest, select="a", indirect="buildable").ids
    excluded = select(manifest, select="a", exclude="with_source", indirect="buildable").ids
    assert excluded == {"model.shop.a"}


def test_everything_with_its_parents_reaches_the_sources(write_manifest: Callable[..., Path]):
    sought = {"method": "fqn", "value": "*", "parents": True}
    manifest = two_models_under_test(write_manifest, all=sought)

    assert "source.shop.raw.t" in select(manifest, selector="all").ids
    assert "source.shop.raw.t" not in select(manifest, select="fqn:*").ids


def test_a_part_with_an_exclusion_only_excludes_but_a_selector_with_one_is_whole(
    write_manifest: Callable[..., Path],
):
    exclusive = {"method": "fqn", "value": "*", "exclude": [{"method": "tag", "value": "night"}]}
    b, source = {"method": "fqn", "value": "b"}, {"method": "source", "value": "raw"}
    anonymous = {"union": [{"method": "fqn", "value": "a"}, b, exclusive]}

    # dbt writes what a selector names in the place of its name.
    by_name = two_models_under_test(
        write_manifest, day=exclusive, all={"union": [source, exclusive]}
    )
    plain = two_models_under_test(write_manifest, all=anonymous)

    assert select(plain, selector="all", indirect="empty").ids == {"model.shop.b"}
    assert {"model.shop.b", "source.shop.raw.t"} <= select(by_name, selector="all").ids


def test_a_semantic_model_is_not_found_by_its_tag(write_manifest: Callable[..., Path]):
    entry = {"unique_id": "semantic_model.shop.facts", "resource_type": "semantic_model"}
    tagged = {**entry, "name": "facts", "fqn": ["shop", "facts"], "config": {"tags": ["night"]}}
    query = {**tagged, "unique_id": "unit_test.shop.adds", "resource_type": "unit_test"}
    path = write_manifest(
        semantic_models={tagged["unique_id"]: tagged}, unit_tests={query["unique_id"]: query}
    )

    assert select(Manifest.of(path), select="tag:night").ids == {"unit_test.shop.adds"}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("models/a.sql", True),
        ("models/", True),
        ("models/**", True),
        ("models/a.sql/", False),
        ("models/a.sql/**", False),
    ],
)
def test_a_path_that_means_a_folder_does_not_find_a_file(
    path: str, found: bool, write_manifest: Callable[..., Path]
):
    manifest = Manifest.of(write_manifest({"unique_id": "model.shop.a"}, name="m.json"))
    props = manifest.props("model.shop.a")
    assert props["original_file_path"] == "models/shop.a.sql"

    asked = path.replace("a.sql", "shop.a.sql")

    assert select(manifest, select=f"path:{asked}").ids == ({"model.shop.a"} if found else set())


def test_an_absolute_path_is_refused(write_manifest: Callable[..., Path]):
    with pytest.raises(InvalidInput, match=r"absolute(?s:.*)as it is in the project"):
        select(Manifest.of(write_manifest()), select="path:/models")


def test_a_kind_that_is_never_selected_finds_nothing(write_manifest: Callable[..., Path]):
    manifest = two_models_under_test(write_manifest)

    assert select(manifest, select="resource_type:fixture resource_type:macro").ids == frozenset()


def test_version_0_is_neither_old_nor_new(write_manifest: Callable[..., Path]):
    versions = ((0, 1), (1, 1), (2, 1))
    manifest = Manifest.of(
        write_manifest(
            *(
                {"unique_id": f"model.shop.m.v{v}", "version": v, "latest_version": latest}
                for v, latest in versions
            )
        )
    )

    assert select(manifest, select="version:old").ids == frozenset()
    assert select(manifest, select="version:latest").ids == {"model.shop.m.v1"}
    assert select(manifest, select="version:prerelease").ids == {"model.shop.m.v2"}
