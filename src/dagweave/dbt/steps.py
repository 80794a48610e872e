"""Make many steps of one definition of dbt assets: one per model, or one per group."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    BetaWarning,
    OpExecutionContext,
    multi_asset,
    multi_asset_check,
)

from dagweave._dagster.private import belonging_to, function_of
from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import keys
from dagweave.dbt.division import Division, Part
from dagweave.dbt.manifest import paused_gc
from dagweave.dbt.origin import Origin
from dagweave.dbt.translation import DbtManifestWrapper, Step, pool_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dagster import AssetKey

    from dagweave.dbt.manifest import Node

WAYS: Final = ("model", "group")

_NOT_IN_A_NAME: Final = re.compile(r"\W+", re.ASCII)
# The folder of a step's artifacts is called after it, and may have 255 bytes.
_LONGEST_NAME: Final = 180


def split_dbt_assets(
    dbt_assets: AssetsDefinition, *, per: Literal["model", "group"]
) -> Sequence[AssetsDefinition]:
    """The same assets and checks as one definition of `@dbt_assets` makes, in many steps.

    Each step calls the function of the definition, whose `dbt.cli(..., context=context)` then runs
    what is the step's: its nodes and their tests. Everything else is as it was: keys, metadata,
    partitions, policies, resources, tags. A test of what several steps build runs in the one that
    stands on all the others, else in a step of its own that waits for them. A step is in the pool
    that the translator's `get_pool` says, else in that of the definition.

    Args:
        per: `model` for a step per model, seed and snapshot; `group` for a step per group of dbt,
            and one per node that has none. A group that stands on itself by way of another becomes
            several steps.

    Raises:
        InvalidInput: The definition has no dbt assets, or others as well; its function takes no
            context; it is a step itself; or nodes of one step name different pools.

    Example:
        ```python
        @dbt_assets(manifest=project.manifest_path, project=project)
        def shop(context: AssetExecutionContext, dbt: DbtCliResource):
            yield from dbt.cli(["build"], context=context).stream()

        defs = Definitions(
            assets=split_dbt_assets(shop, per="model"),
            resources={"dbt": DbtCliResource(project, runner="warm")},
        )
        ```
    """
    if per not in WAYS:
        raise InvalidInput(
            f"Assets cannot be split per {per!r}.", remedy=f"Choose one of {', '.join(WAYS)}."
        )
    whole = _Whole.of(dbt_assets)
    with paused_gc(), warnings.catch_warnings():
        # What the definition was given, and Dagster calls beta, is handed on.
        warnings.simplefilter("ignore", BetaWarning)
        return _Steps(whole, Division(dbt_assets, whole.origin, by_group=per == "group")).made()


@dataclass(frozen=True)
class _Whole:
    """The definition that is split."""

    assets_def: AssetsDefinition
    origin: Origin
    function: Callable[..., Any]

    @classmethod
    def of(cls, assets_def: AssetsDefinition) -> _Whole:
        """What the definition says of itself.

        Raises:
            InvalidInput: It is none that can be split.
        """
        if not isinstance(assets_def, AssetsDefinition):  # pyright: ignore[reportUnnecessaryIsInstance] -- users'
            raise InvalidInput(
                f"Only a definition of @dbt_assets can be split, not {assets_def!r:.80}.",
                remedy="Give one definition: split_dbt_assets(shop, per='model')",
            )
        origin = Origin.of(assets_def)
        function = function_of(assets_def)
        if origin is None or function is None:
            raise InvalidInput(
                f"{assets_def} has no assets that @dbt_assets made.",
                remedy="Give a definition of @dbt_assets whose selection matches something.",
            )
        name = assets_def.op.name
        if origin.step is not None:
            raise InvalidInput(f"{name!r} is a step that was split off already.")
        others = [spec.key for spec in assets_def.specs if keys.UNIQUE_ID not in spec.metadata]
        if others:
            named = ", ".join(key.to_user_string() for key in others[:5])
            raise InvalidInput(
                f"{name!r} makes assets that are no nodes of dbt, and cannot be split.",
                seen=f"{len(others)} of them: {named}",
                remedy="Make them in a definition of their own.",
            )
        if not any(
            each.name.strip("_") in ("context", "")
            for each in signature(function).parameters.values()
        ):
            raise InvalidInput(
                f"The function of {name!r} takes no context, so that each step would run everything.",
                remedy="Take it and hand it on: dbt.cli([...], context=context)",
            )
        return cls(assets_def, origin, function)


class _Steps:
    """The definitions that one is split into."""

    def __init__(self, whole: _Whole, division: Division) -> None:
        self._whole = whole
        self._division = division
        self._op = whole.assets_def.op
        self._function = whole.function
        self._manifest = whole.origin.manifest
        taken = set(signature(self._function).parameters)
        # Dagster wants each resource named once: as an argument, or as a key.
        self._shared: dict[str, Any] = {
            "can_subset": True,
            "op_tags": self._op.tags,
            "retry_policy": self._op.retry_policy,
            "required_resource_keys": set(self._op.required_resource_keys) - taken,
        }
        self._pools: dict[AssetKey, str] = {}

    def made(self) -> list[AssetsDefinition]:
        """All of them."""
        division = self._division
        names = self._names([*division.building, *division.testing])
        building = [
            self._building(part, name) for part, name in zip(division.building, names, strict=False)
        ]
        testing = [
            self._testing(part, name)
            for part, name in zip(division.testing, names[len(building) :], strict=True)
        ]
        return [belonging_to(self._whole.assets_def, each) for each in (*building, *testing)]

    def _building(self, part: Part, name: str) -> AssetsDefinition:
        about = {keys.MANIFEST: self._wrapper(part)}
        return multi_asset(
            name=name,
            specs=[spec.merge_attributes(metadata=about) for spec in part.specs],
            check_specs=part.check_specs,
            backfill_policy=self._whole.assets_def.backfill_policy,
            pool=self._pool(part),
            # A test may be about what another step, or nobody here, makes.
            allow_arbitrary_check_specs=True,
            **self._shared,
        )(self._function)

    def _testing(self, part: Part, name: str) -> AssetsDefinition:
        origin = self._whole.origin
        about = {
            keys.MANIFEST: self._wrapper(part),
            keys.TRANSLATOR: origin.translator,
            **({keys.PROJECT: origin.project} if origin.project else {}),
        }
        first = part.check_specs[0].asset_key
        return multi_asset_check(
            name=name,
            specs=[
                check.with_metadata({**(check.metadata or {}), **about})
                for check in part.check_specs
            ],
            pool=self._pools.get(first) or self._op.pool,
            **self._shared,
        )(_for_tests(self._function))

    def _wrapper(self, part: Part) -> DbtManifestWrapper:
        partitions = self._whole.assets_def.partitions_def
        return DbtManifestWrapper(self._manifest, Step(self._op.name, part.along, partitions))

    def _pool(self, part: Part) -> str | None:
        """The pool that its nodes name, else that of the definition."""
        named: dict[str, str] = {}
        for spec in part.specs:
            node = str(spec.metadata[keys.UNIQUE_ID])
            if pool := pool_of(self._whole.origin.translator, self._manifest, node):
                named.setdefault(pool, node)
                self._pools[spec.key] = pool
        if len(named) > 1:
            (one, first), (other, second), *_ = named.items()
            raise InvalidInput(
                f"Nodes of one step, that of group {part.group!r}, name different pools.",
                seen=f"{first}: {one}\n{second}: {other}",
                remedy="A step is in one pool: name the same for all nodes of the group, or split "
                "per='model'.",
            )
        return next(iter(named), None) or self._op.pool

    def _names(self, parts: Sequence[Part]) -> list[str]:
        """A name for the op of each, that stays the same while what it runs does."""
        labels = [self._label(part) for part in parts]
        count = Counter(labels)
        return [
            label if count[label] == 1 and len(label) <= _LONGEST_NAME else _hashed(label, part)
            for label, part in zip(labels, parts, strict=True)
        ]

    def _label(self, part: Part) -> str:
        if part.group is not None:
            text = part.group if part.place is None else f"{part.group}_{part.place}"
        else:
            text = "__".join(_name(self._manifest.node(id_)) for id_ in part.about)
        kind = "" if part.specs else "tests__"
        return f"{self._op.name}__{kind}{_NOT_IN_A_NAME.sub('_', text)}"


def _name(node: Node) -> str:
    if node.resource_type == "source":
        return f"{node.source_name}_{node.name}"
    return node.name if node.version is None else f"{node.name}_v{node.version}"


def _hashed(label: str, part: Part) -> str:
    what = repr((part.group, part.place, sorted(part.about))).encode()
    suffix = hashlib.sha1(what, usedforsecurity=False).hexdigest()[:8]
    return f"{label[:_LONGEST_NAME]}_{suffix}"


def _for_tests(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, for a step that makes no asset.

    Dagster has another context for such steps, which is not what the function was written for.
    """
    whole = signature(function)
    first, *rest = whole.parameters.values()
    if first.annotation is OpExecutionContext:
        return function

    @wraps(function)
    def run(context: OpExecutionContext, **given: Any) -> Any:
        return function(AssetExecutionContext(context), **given)

    asked = first.replace(annotation=OpExecutionContext)
    made = cast("Any", run)
    made.__signature__ = whole.replace(parameters=[asked, *rest])
    made.__annotations__ = {**function.__annotations__, first.name: OpExecutionContext}
    return run
