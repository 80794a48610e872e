"""Which asset a test of dbt checks, and as what."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from dagster import AssetCheckKey, AssetCheckSpec, AssetDep, AssetKey

from dagweave._dagster.private import Mould
from dagweave.dbt import keys

TEST_TYPES: Final = frozenset({"test", "unit_test"})

_NOT_IN_A_NAME: Final = re.compile(r"\W", re.ASCII)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagweave.dbt.manifest import Manifest, Node


class TestSpec(AssetCheckSpec):
    """A check that makes its key once: Dagster asks for it a dozen times, and keeps each."""

    __test__ = False

    @cached_property
    def key(self) -> AssetCheckKey:  # pyright: ignore[reportIncompatibleMethodOverride] -- a property there
        """The asset and the name."""
        return AssetCheckKey(self.asset_key, self.name)


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
    name = test.name
    is_fine = name.isascii() and name.isidentifier()
    return name if is_fine else _NOT_IN_A_NAME.sub("_", name)


def check_spec(test: Node, asset: AssetKey, parents: Sequence[AssetKey]) -> AssetCheckSpec:
    """The check on `asset` that a test is; it also depends on the test's other parents.

    What is downstream waits for it if the test's severity is `error`.
    """
    is_blocking = (test.config.severity or "error").lower() == "error"
    return _MOULDS[is_blocking](
        check_name(test),
        asset,
        test.description or _described(test),
        [_plain_dep(key) for key in dict.fromkeys(parents) if key != asset] if parents else [],
        {keys.UNIQUE_ID: test.unique_id},
    )


def _described(test: Node) -> str | None:
    said: object = (test.meta or {}).get("description")
    return None if said is None else str(said)


_plain_dep: Final = Mould(AssetDep(AssetKey("any")), "asset_key")
_MOULDS: Final = {
    is_blocking: Mould(
        TestSpec("any", asset=AssetKey("any"), blocking=is_blocking),
        *("name", "asset_key", "description", "additional_deps", "metadata"),
    )
    for is_blocking in (True, False)
}
