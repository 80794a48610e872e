"""Evaluate a selection on the graph of a manifest."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from dagweave.dbt.manifest import paused_gc
from dagweave.dbt.select.expression import EVERYTHING, Criterion, parse, read
from dagweave.dbt.select.methods import METHODS, candidates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence, Set

    from dagweave.dbt.manifest import Manifest
    from dagweave.dbt.select.expression import Indirect, Spec


@dataclass(frozen=True, slots=True)
class Selected:
    """What a selection matches."""

    ids: frozenset[str]
    unmatched: tuple[str, ...] = ()
    """For each part of the expression that matches nothing: a sentence with the nearest names."""


_memo: WeakKeyDictionary[Manifest, dict[tuple[str, ...], Selected]] = WeakKeyDictionary()


def select(
    manifest: Manifest,
    *,
    select: str = EVERYTHING,
    exclude: str = "",
    selector: str = "",
    indirect: Indirect = "eager",
) -> Selected:
    """Return the ids of the nodes that `dbt ls` would select, tests and sources included.

    Evaluated once per manifest and expression.

    Args:
        select: Space is union, comma intersection; empty means everything but sources.
        exclude: In the same language.
        selector: The name of one of the project's YAML selectors, instead of the two others.

    Raises:
        InvalidInput: An expression cannot be read, or uses a method that is not evaluated here;
            names those that are.
    """
    key = (select, exclude, selector, indirect)
    known = _memo.setdefault(manifest, {})
    if key not in known:
        spec = read(manifest, select=select, exclude=exclude, selector=selector)
        with paused_gc():
            known[key] = _Graph(manifest, indirect).select(spec)
    return known[key]


def along_with(manifest: Manifest, ids: Set[str], indirect: Indirect = "eager") -> frozenset[str]:
    """The tests that dbt would run along with the nodes `ids`."""
    selected = frozenset(ids)
    return _Graph(manifest, indirect).with_tests(selected, indirect)[0] - selected


class _Edges:
    """The nodes of a manifest that can be selected, and the edges between them.

    Made once per manifest, and kept with it; holds nothing of it but ids.
    """

    def __init__(self, manifest: Manifest) -> None:
        nodes = ((id_, manifest.node(id_)) for id_ in manifest.ids())
        members = {id_: node.parents for id_, node in nodes if node.config.enabled is not False}
        self.members = frozenset(members)
        # They lead from node to node, but are run by the command, not by selection.
        self.hooks = frozenset(
            id_ for id_ in manifest.ids("nodes") if manifest.node(id_).resource_type == "operation"
        )
        self._refers_to = members

    @cached_property
    def parents(self) -> Mapping[str, Sequence[str]]:
        """What each node refers to."""
        known = self.members
        return {id_: [up for up in ups if up in known] for id_, ups in self._refers_to.items()}

    @cached_property
    def children(self) -> Mapping[str, Sequence[str]]:
        """What refers to each node."""
        children: dict[str, list[str]] = {id_: [] for id_ in self.members}
        for id_, parents in self.parents.items():
            for parent in parents:
                children[parent].append(id_)
        return children


_edges: WeakKeyDictionary[Manifest, _Edges] = WeakKeyDictionary()


@dataclass
class _Graph:
    """A manifest to select from. Tests may be selected through the nodes that they test."""

    manifest: Manifest
    indirect: Indirect
    unmatched: list[str] = field(init=False, default_factory=list[str])

    @cached_property
    def edges(self) -> _Edges:
        """Its nodes and edges."""
        known = _edges.get(self.manifest)
        if known is None:
            known = _edges[self.manifest] = _Edges(self.manifest)
        return known

    def select(self, spec: Spec) -> Selected:
        """Evaluate a whole selection."""
        direct, _ = self._evaluate(spec)
        return Selected(direct - self.edges.hooks, tuple(self.unmatched))

    def _evaluate(self, spec: Spec) -> tuple[frozenset[str], frozenset[str]]:
        """What is selected, and the tests that would be if their other parents were, too."""
        if isinstance(spec, Criterion):
            return self._evaluate_one(spec)
        bundles = [self._evaluate(part) for part in spec.parts]
        if not bundles:
            return frozenset(), frozenset()
        combine = _COMBINE[spec.how]
        direct = reduce(combine, (direct for direct, _ in bundles))
        waiting = reduce(combine, (direct | indirect for direct, indirect in bundles))
        # What YAML combines brings no more tests than its parts do, whatever the mode.
        if spec.on_command_line and self.indirect in ("cautious", "buildable"):
            reachable = direct
            if self.indirect == "buildable":
                reachable = direct | self._walk(direct, self.edges.parents, math.inf)
            direct |= {id_ for id_ in waiting if self._tests_only(id_, reachable)}
        return direct, waiting

    def _evaluate_one(self, criterion: Criterion) -> tuple[frozenset[str], frozenset[str]]:
        if criterion == _EVERYTHING:
            # All but sources, and so with all tests.
            return self.edges.members.difference(self.manifest.ids("sources")), frozenset()
        found = frozenset(METHODS[criterion.sought.method](self.manifest, criterion.sought))
        found &= self.edges.members
        if not found:
            self.unmatched.append(self._nearest(criterion))
        selected = found | self._walk(found, self.edges.parents, criterion.parents)
        selected |= self._walk(found, self.edges.children, criterion.children)
        if criterion.around:
            selected |= self._walk(found, self.edges.children, math.inf)
            selected |= self._walk(selected, self.edges.parents, math.inf)
        return self.with_tests(selected, criterion.indirect or self.indirect)

    def with_tests(
        self, selected: frozenset[str], indirect: Indirect
    ) -> tuple[frozenset[str], frozenset[str]]:
        """The nodes with their tests, and the tests that wait for a parent to be selected, too."""
        if indirect == "empty":
            return selected, frozenset()
        tests = {
            child for id_ in selected for child in self.edges.children[id_] if self._is_test(child)
        } - selected
        if indirect == "eager":
            return selected | tests, frozenset()
        reachable = self._buildable(selected) if indirect == "buildable" else selected
        ready = {test for test in tests if reachable.issuperset(self.manifest.node(test).parents)}
        return selected | ready, frozenset(tests - ready)

    def _tests_only(self, id_: str, selected: frozenset[str]) -> bool:
        return id_ in self.manifest["nodes"] and selected.issuperset(
            self.manifest.node(id_).parents
        )

    def _buildable(self, selected: frozenset[str]) -> frozenset[str]:
        sources = frozenset(self.manifest.ids("sources"))
        return selected | self._walk(selected, self.edges.parents, math.inf) | sources

    def _is_test(self, id_: str) -> bool:
        return self.manifest.node(id_).resource_type in ("test", "unit_test")

    def _walk(
        self, start: frozenset[str], edges: Mapping[str, Sequence[str]], depth: float
    ) -> frozenset[str]:
        """What is reached from `start` in up to `depth` steps."""
        reached: set[str] = set()
        layer: Iterable[str] = start
        while layer and depth > 0:
            layer = {end for id_ in layer for end in edges[id_]} - reached
            reached |= layer
            depth -= 1
        return frozenset(reached)

    def _nearest(self, criterion: Criterion) -> str:
        value = str(criterion.sought.value)
        near = difflib.get_close_matches(value, candidates(self.manifest, criterion.sought), n=3)
        hint = f" Nearest: {', '.join(near)}." if near else ""
        return f"{criterion.raw!r} matches nothing in {self.manifest}.{hint}"


_EVERYTHING: Final = parse(EVERYTHING)
_COMBINE: Final[Mapping[str, Callable[[frozenset[str], frozenset[str]], frozenset[str]]]] = {
    "union": frozenset[str].union,
    "intersection": frozenset[str].intersection,
    "difference": frozenset[str].difference,
}
