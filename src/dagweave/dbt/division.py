"""What each step of a split definition builds and tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any, cast

from dagster import AssetCheckSpec

from dagweave.dbt import checks, keys
from dagweave.dbt.listing import selected_nodes
from dagweave.dbt.select import EVERYTHING, along_with
from dagweave.dbt.units import Units

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence, Set

    from dagster import AssetKey, AssetsDefinition, AssetSpec, AutomationCondition

    from dagweave.dbt.origin import Origin


@dataclass
class Part:
    """What one step builds and tests."""

    about: Sequence[str]
    """The nodes that it builds; if it builds none, those that it tests."""
    specs: Sequence[AssetSpec] = ()
    check_specs: list[AssetCheckSpec] = field(default_factory=list[AssetCheckSpec])
    along: dict[str, Set[str]] = field(default_factory=dict[str, "Set[str]"])
    """The tests that it runs though they are no checks: each with any of the nodes named."""
    group: str | None = None
    place: int | None = None


@dataclass(frozen=True)
class _Test:
    """A test, and the assets that it reads, by the keys that the definition knows them by."""

    id: str
    parents: Mapping[AssetKey, str]
    check: AssetCheckSpec | None


class Division:
    """The parts that a definition of dbt assets is divided into."""

    def __init__(self, assets_def: AssetsDefinition, origin: Origin, *, by_group: bool) -> None:
        self._assets_def = assets_def
        self._origin = origin
        self._manifest = origin.manifest
        self._specs = {spec.key: spec for spec in assets_def.specs}
        self._ids = {key: str(spec.metadata[keys.UNIQUE_ID]) for key, spec in self._specs.items()}
        self._keys = {id_: key for key, id_ in self._ids.items()}
        self._sources = origin.sources_in([assets_def])
        self._units = Units(
            {key: [dep.asset_key for dep in spec.deps] for key, spec in self._specs.items()},
            self._groups() if by_group else {},
        )
        self.building: Sequence[Part] = [
            Part(
                [self._ids[key] for key in unit.nodes],
                [self._specs[key] for key in unit.nodes],
                group=unit.group,
                place=unit.part,
            )
            for unit in self._units.all
        ]
        """The steps that build, parents first, with their tests."""
        self.testing: Sequence[Part] = []
        """The steps that only test."""
        self._divide_tests()

    def _groups(self) -> Mapping[AssetKey, str]:
        named = ((key, self._manifest.node(id_)) for key, id_ in self._ids.items())
        groups = {key: node.config.group or node.group for key, node in named}
        return {key: str(group) for key, group in groups.items() if group}

    def _divide_tests(self) -> None:
        """Give each test to one step.

        A step that only tests comes into question where a failure then holds up all that stands on
        what the test is about, and where no step that builds can run it.
        """
        alone: dict[tuple[int, ...], list[_Test]] = {}
        for test in self._tests():
            units = sorted({self._units.of[key] for key in test.parents if key in self._units.of})
            home = self._home(test, units)
            if home is None or (home not in units and self._may_block(test, units)):
                alone.setdefault(tuple(units), []).append(test)
            else:
                self._take_in(test, home)
        parts = [_Testing(tests, self._as_checks(tests, at)) for at, tests in alone.items()]
        _untangle(parts)
        self.testing = [part.part() for part in parts]

    def _home(self, test: _Test, units: Sequence[int]) -> int | None:
        """The step that builds and can run the test: after all that it reads, in any run."""
        parents = list(test.parents)
        own = self._units.home(parents)
        if own is not None:
            return own
        # One that stands on all of them, and which dbt then does not build if the test fails.
        # A source's test runs with any node that reads it, so that a part of a unit will do.
        below = self._units.first_on(parents, with_its_unit=bool(units))
        return None if below is None else self._units.of[below]

    def _may_block(self, test: _Test, units: Sequence[int]) -> bool:
        """Whether the test, run by itself, may hold up all that stands on what it is about.

        That must not make anything wait for what it does not stand on: it might lie before it.
        """
        check = test.check
        return (
            check is not None
            and check.blocking
            # Of sources, what else lies before it is not known.
            and bool(units)
            and self._units.all_below_stand_on(check.asset_key, units)
        )

    def _take_in(self, test: _Test, home: int) -> None:
        part, check = self.building[home], test.check
        if check is None:
            inside = [id_ for key, id_ in test.parents.items() if self._units.of.get(key) == home]
            parents = list(test.parents)
            reader = None if inside else self._units.first_on(parents, with_its_unit=False)
            part.along[test.id] = frozenset(inside or ([self._ids[reader]] if reader else []))
        elif self._units.of.get(check.asset_key) == home:
            part.check_specs.append(check)
        else:
            # What else stands on what it is about would wait for this step, which may stand on it.
            # The step fails with the test, and so holds up all that stands on it.
            part.check_specs.append(_like(check, blocking=False))

    def _tests(self) -> Iterator[_Test]:
        known = {
            str(test): check
            for check in self._assets_def.check_specs
            if (test := (check.metadata or {}).get(keys.UNIQUE_ID)) is not None
        }
        for test, check in known.items():
            parents = self._parents(test)
            yield _Test(
                test, {check.asset_key: self._id_of(check.asset_key, test)} | parents, check
            )
        for test in sorted(self._unmodelled() - known.keys()):
            yield _Test(test, self._parents(test), None)

    def _parents(self, test: str) -> dict[AssetKey, str]:
        return {self._key(up): up for up in self._manifest.asset_parents(test)}

    def _key(self, unique_id: str) -> AssetKey:
        own = self._keys.get(unique_id) or self._sources.get(unique_id)
        return own or self._origin.key(unique_id)

    def _id_of(self, key: AssetKey, test: str) -> str:
        return self._ids.get(key) or checks.tested_node(self._manifest, test) or test

    def _unmodelled(self) -> Set[str]:
        """All tests that dbt would run with the definition as it was written."""
        tags = self._assets_def.op.tags
        select, exclude, selector = (
            str(tags.get(tag) or "") for tag in (keys.SELECT, keys.EXCLUDE, keys.SELECTOR)
        )
        if not (select or selector):
            return along_with(self._manifest, self._keys.keys())
        found = selected_nodes(
            self._manifest,
            self._origin.project,
            select=select or EVERYTHING,
            exclude=exclude,
            selector=selector,
        )
        node = self._manifest.node
        return {id_ for id_ in found.ids if node(id_).resource_type in checks.TEST_TYPES}

    def _as_checks(self, tests: Sequence[_Test], units: Sequence[int]) -> list[AssetCheckSpec]:
        """Tests as the checks of a step of their own, which waits for all that they read."""
        found: list[AssetCheckSpec] = []
        for test in tests:
            check = test.check
            if check is None:
                # It must be something in Dagster to be run: a check on what comes last.
                about = max(test.parents, key=lambda key: self._units.of.get(key, -1))
                check = checks.check_spec(self._manifest.node(test.id), about, ())
            others = [key for key in test.parents if key != check.asset_key]
            blocking = self._may_block(_Test(test.id, test.parents, check), units)
            found.append(_like(check, blocking=blocking, additional_deps=others))
        return found


@dataclass
class _Testing:
    """A step that only tests."""

    tests: Sequence[_Test]
    check_specs: list[AssetCheckSpec]

    def part(self) -> Part:
        nodes = {id_: None for test in self.tests for id_ in test.parents.values()}
        return Part(list(nodes), check_specs=self.check_specs)

    @property
    def waits_for(self) -> Set[AssetKey]:
        """The assets whose blocking checks go before."""
        read = {key for test in self.tests for key in test.parents}
        return read - {check.asset_key for check in self.check_specs}


def _untangle(parts: Sequence[_Testing]) -> None:
    """Let no check block where two such steps would wait for each other."""
    while True:
        blocks = {
            n: {check.asset_key for check in part.check_specs if check.blocking}
            for n, part in enumerate(parts)
        }
        by_key: dict[AssetKey, list[int]] = {}
        for n, about in blocks.items():
            for key in about:
                by_key.setdefault(key, []).append(n)
        waits = {
            n: sorted({up for key in part.waits_for for up in by_key.get(key, ())} - {n})
            for n, part in enumerate(parts)
        }
        try:
            TopologicalSorter(waits).prepare()
        except CycleError as error:
            waiting: list[int] = error.args[1]
            for n in waiting:
                part = parts[n]
                part.check_specs = [_like(check, blocking=False) for check in part.check_specs]
        else:
            return


def _like(
    check: AssetCheckSpec,
    *,
    blocking: bool,
    additional_deps: Sequence[AssetKey] | None = None,
) -> AssetCheckSpec:
    """The check, but for these."""
    partitions = getattr(check, "partitions_def", None)
    # Dagster 1.12 knows no partitions of a check.
    more: dict[str, Any] = {"partitions_def": partitions} if partitions is not None else {}
    condition = cast("AutomationCondition[Any] | None", check.automation_condition)
    return AssetCheckSpec(
        check.name,
        asset=check.asset_key,
        description=check.description,
        additional_deps=check.additional_deps if additional_deps is None else additional_deps,
        blocking=blocking,
        metadata=check.metadata,
        automation_condition=condition,
        **more,
    )
