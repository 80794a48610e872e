"""Which asset a test of dbt checks, and as what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

from dagster import AssetCheckSpec

from dagweave.dbt import keys

TEST_TYPES: Final = frozenset({"test", "unit_test"})

_NOT_IN_A_NAME: Final = re.compile(r"\W", re.ASCII)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dagster import AssetKey

    from dagweave.dbt.manifest import Manifest, Node


def tested_node(manifest: Manifest, test_id: str) -> str | None:
    """The one node that a test is about: the one it names, is attached to, or refers to alone.

    A singular test of several nodes is about none of them, unless `meta.dagster.ref` names it. A
    unit test is about the model whose SQL it runs on rows of its own.
    """
    test = manifest.node(test_id)
    if test.resource_type not in TEST_TYPES:
        return None
    ref: Any = test.dagster_meta.get("ref")
    if ref:
        return _referred(manifest, cast("Mapping[str, Any]", ref))
    parents = test.parents
    return parents[0] if len(parents) == 1 else test.attached_node


def _referred(manifest: Manifest, ref: Mapping[str, Any]) -> str | None:
    wanted = (ref.get("name"), ref.get("package") or manifest.project_name, ref.get("version"))
    for unique_id in manifest.ids("nodes"):
        node = manifest.node(unique_id)
        if (node.name, node.package_name, node.version) == wanted:
            return unique_id
    return None


def check_name(test: Node) -> str:
    """The test's name, of the signs that Dagster allows in one."""
    return _NOT_IN_A_NAME.sub("_", test.name)


def check_spec(test: Node, asset: AssetKey, parents: Iterable[AssetKey]) -> AssetCheckSpec:
    """The check on `asset` that a test is; it also depends on the test's other parents.

    What is downstream waits for it if the test's severity is `error`.
    """
    return AssetCheckSpec(
        name=check_name(test),
        asset=asset,
        description=test.description or (test.meta or {}).get("description"),
        additional_deps=[key for key in dict.fromkeys(parents) if key != asset] or None,
        metadata={keys.UNIQUE_ID: test.unique_id},
        blocking=(test.config.severity or "error").lower() == "error",
    )
