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


def test_a_manifest_reads_like_its_file(manifest_path: Path):
    content = json.loads(manifest_path.read_text())

    manifest = Manifest.of(manifest_path)

    assert {key: dict(manifest[key]) for key in content} == content
    assert manifest["nodes"]["model.shop.orders"]["config"]["materialized"] == "table"
    assert "model.shop.nowhere" not in manifest["nodes"]


def test_it_is_read_once_until_its_file_changes(write_manifest: Callable[..., Path]):
    path = write_manifest({"unique_id": "model.shop.orders"})
    before = Manifest.of(path)

    assert Manifest.of(str(path)) is before

    write_manifest({"unique_id": "model.shop.orders"}, {"unique_id": "model.shop.customers"})
    os.utime(path, (1, 1))

    assert set(Manifest.of(path)["nodes"]) == {"model.shop.orders", "model.shop.customers"}


def test_a_dictionary_is_a_manifest_too_and_is_left_as_it_is(manifest_path: Path):
    content = json.loads(manifest_path.read_text())
    before = json.dumps(content)

    manifest = Manifest.of(content)

    assert manifest is Manifest.of(content)
    assert manifest.node("model.shop.orders").name == "orders"
    assert json.dumps(content) == before


def test_what_a_user_changes_in_a_node_stays_with_the_user(manifest_path: Path):
    manifest = Manifest.of(manifest_path)

    manifest.props("model.shop.orders")["config"]["materialized"] = "view"

    assert manifest.props("model.shop.orders")["config"]["materialized"] == "table"


def test_a_field_of_an_unknown_type_does_not_hide_the_rest(write_manifest: Callable[..., Path]):
    path = write_manifest({"unique_id": "model.shop.orders", "description": ["new", "in", "dbt"]})

    node = Manifest.of(path).node("model.shop.orders")

    assert (node.name, node.description) == ("orders", None)


@pytest.mark.parametrize(
    ("schema", "readable"),
    [("v11", True), ("v12", True), ("v20", True), ("v10", False), ("v99", False)],
)
def test_the_schemas_of_dbt_1_8_and_newer_are_read_and_others_refused(
    schema: str, readable: bool, write_manifest: Callable[..., Path]
):
    path = write_manifest(
        metadata={"dbt_schema_version": f"https://schemas.getdbt.com/dbt/manifest/{schema}.json"}
    )
    if readable:
        assert list(Manifest.of(path)["nodes"]) == []
        return
    with pytest.raises(InvalidInput, match=f"(?s){path}.*{schema}.*v11, v12, v20.*newer Dagweave"):
        Manifest.of(path)


def test_a_missing_manifest_is_an_error_with_the_path_and_the_command_that_makes_it(tmp_path: Path):
    project = tmp_path / "my shop"
    project.mkdir()
    (project / "dbt_project.yml").write_text("name: shop")

    with pytest.raises(InvalidInput) as caught:
        Manifest.of(project / "target" / "manifest.json")

    assert str(project / "target" / "manifest.json") in str(caught.value)
    assert "There is no such file" in str(caught.value)
    assert f"cd '{project}' && dbt parse" in str(caught.value)

    (project / "packages.yml").write_text("packages: []")
    with pytest.raises(InvalidInput, match="dbt deps && dbt parse"):
        Manifest.of(project / "target" / "manifest.json")


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ("", "The file is empty"),
        ("  \n", "The file is empty"),
        ('{"metadata": {"dbt_schema_version": "https://sch', "It is not whole"),
        ("[1, 2]", "It is not whole, or not JSON of a manifest"),
        ('{"results": []}', "it is not a dbt manifest"),
        ('{"metadata": null, "nodes": {}}', "it is not a dbt manifest"),
        ("dbt build", "It is not whole, or not JSON"),
    ],
)
def test_a_manifest_that_is_cut_off_or_none_says_so(content: str, seen: str, tmp_path: Path):
    path = tmp_path / "manifest.json"
    path.write_text(content)

    with pytest.raises(InvalidInput, match=f"(?s){path}.*{seen}.*dbt parse"):
        Manifest.of(path)


def test_a_real_manifest_cut_off_anywhere_is_refused(manifest_path: Path, tmp_path: Path):
    whole = manifest_path.read_bytes()
    path = tmp_path / "manifest.json"
    for tenth in range(1, 10):
        path.write_bytes(whole[: len(whole) * tenth // 10])

        with pytest.raises(InvalidInput, match="It is not whole"):
            Manifest.of(path)


def test_loading_definitions_needs_no_dbt(manifest_path: Path):
    script = f"""
import sys
from dagweave.dbt import dbt_assets
@dbt_assets(manifest={str(manifest_path)!r}, select="marts.*")
def models(context): ...
assert len(list(models.specs)) == 4
print(*[name for name in sys.modules if name.partition(".")[0] in ("dbt", "duckdb", "networkx")])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (None, "path or its content"),
        (42, "path or its content"),
        ({}, "no nodes"),
        (
            {"metadata": {"dbt_schema_version": ".../manifest/v99.json"}, "nodes": {}},
            "does not know",
        ),
    ],
)
def test_what_is_no_manifest_is_refused_whatever_it_is(given: Any, seen: str):
    with pytest.raises(InvalidInput, match=seen):
        Manifest.of(given)


def test_a_node_that_is_not_utf8_is_named(write_manifest: Callable[..., Path]):
    path = write_manifest({"unique_id": "model.shop.cafe", "description": "a cafe"})
    path.write_bytes(path.read_bytes().replace(b"a cafe", b"a caf\xe9"))

    with pytest.raises(InvalidInput, match=r"model\.shop\.cafe.*UTF-8"):
        Manifest.of(path).node("model.shop.cafe")
