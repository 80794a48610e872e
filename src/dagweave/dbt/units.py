"""Divide a project into what runs together: each node by itself, or each group. Knows nothing of dbt.

A unit never stands on another that stands on it, so that each can be a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

K = TypeVar("K", bound="Hashable")


@dataclass(frozen=True, slots=True)
class Unit(Generic[K]):
    """What one step builds."""

    nodes: Sequence[K]
    """Parents first."""
    group: str | None = None
    part: int | None = None
    """Which part of its group it is, counted from 1, if the group is more than one."""


class Units(Generic[K]):
    """The nodes of a project, divided.

    Args:
        parents: What each node stands on; some of it may be no node of the project.
        groups: The group of each node that has one. The nodes of a group are one unit, unless they
            stand on each other by way of another group; without a group, a node is one by itself.
    """

    def __init__(self, parents: Mapping[K, Sequence[K]], groups: Mapping[K, str]) -> None:
        self._parents = {
            node: [up for up in dict.fromkeys(above) if up != node]
            for node, above in parents.items()
        }
        self._groups = groups
        order = TopologicalSorter(
            {node: [up for up in above if up in parents] for node, above in self._parents.items()}
        )
        self._order: list[K] = list(order.static_order())
        self.all: Sequence[Unit[K]] = self._divided()
        """Parents first."""
        self.of: Mapping[K, int] = {
            node: n for n, unit in enumerate(self.all) for node in unit.nodes
        }
        """The unit of each node, by its place."""

    def home(self, parents: Sequence[K]) -> int | None:
        """The unit that can test something about `parents` once it is built, whatever else runs.

        Each of them that it builds stands itself on all of them that it does not build. That it
        does by way of a third would not do: a run may leave that out, and then nothing waits.
        """
        for unit in sorted({self.of[each] for each in parents if each in self.of}):
            inside = [each for each in parents if self.of.get(each) == unit]
            outside = [each for each in parents if self.of.get(each) != unit]
            if all(set(outside).issubset(self._parents[each]) for each in inside):
                return unit
        return None

    def first_on(self, parents: Sequence[K], *, with_its_unit: bool) -> K | None:
        """The first node that itself stands on all of `parents`; if asked for, with its whole unit."""
        wanted = set(parents)
        for node in self._children.get(parents[0], ()) if parents else self._order:
            unit = self.all[self.of[node]].nodes if with_its_unit else [node]
            if all(wanted.issubset(self._parents[each]) for each in unit):
                return node
        return None

    def all_below_stand_on(self, node: K, units: Iterable[int]) -> bool:
        """Whether what stands on `node` in other units stands on all of `units`, too."""
        wanted = 0
        for unit in units:
            wanted |= 1 << unit
        return all(self._above[unit] & wanted == wanted for unit in self._below.get(node, ()))

    @cached_property
    def _children(self) -> Mapping[K, Sequence[K]]:
        """For each node, and for what is none: the nodes that stand on it directly."""
        children: dict[K, list[K]] = {}
        for node in self._order:
            for up in self._parents[node]:
                children.setdefault(up, []).append(node)
        return children

    @cached_property
    def _below(self) -> Mapping[K, set[int]]:
        """For each node: the other units that stand on it directly."""
        below: dict[K, set[int]] = {}
        for node, above in self._parents.items():
            for up in above:
                if self.of.get(up) != self.of[node]:
                    below.setdefault(up, set()).add(self.of[node])
        return below

    @cached_property
    def _above(self) -> Sequence[int]:
        """For each unit: all units that it stands on, a bit each."""
        found: list[int] = []
        for place, unit in enumerate(self.all):
            mask = 0
            for up in {self.of[up] for n in unit.nodes for up in self._parents[n] if up in self.of}:
                if up != place:
                    mask |= found[up] | 1 << up
            found.append(mask)
        return found

    def _divided(self) -> Sequence[Unit[K]]:
        labels = self._labels()
        members: dict[tuple[object, int], list[K]] = {}
        for node in self._order:
            members.setdefault(labels[node], []).append(node)
        above: dict[tuple[object, int], dict[tuple[object, int], None]] = {
            label: {
                labels[up]: None
                for node in nodes
                for up in self._parents[node]
                if up in labels and labels[up] != label
            }
            for label, nodes in members.items()
        }
        levels: dict[str, list[int]] = {}
        for group, level in sorted(
            (self._groups[n[0]], at) for (_, at), n in members.items() if n[0] in self._groups
        ):
            levels.setdefault(group, []).append(level)
        units: list[Unit[K]] = []
        for label in TopologicalSorter(above).static_order():
            nodes = members[label]
            group = self._groups.get(nodes[0])
            several = levels[group] if group is not None and len(levels[group]) > 1 else None
            units.append(Unit(nodes, group, several.index(label[1]) + 1 if several else None))
        return units

    def _labels(self) -> Mapping[K, tuple[object, int]]:
        """What has the same label is one unit.

        A group is cut by how often the way to its nodes crosses from one group to another, as
        Dagster cuts a definition: whatever leads from unit to unit then leads upwards.
        """
        groups: dict[K, object] = {
            node: ("group", self._groups[node]) if node in self._groups else ("node", node)
            for node in self._order
        }
        edges = {
            (groups[up], groups[node])
            for node in self._order
            for up in self._parents[node]
            if up in groups and groups[up] != groups[node]
        }
        entangled = _entangled(edges)
        crossings: dict[K, int] = {}
        for node in self._order:
            crossings[node] = max(
                (
                    crossings[up] + (groups[up] != groups[node])
                    for up in self._parents[node]
                    if up in crossings
                ),
                default=0,
            )
        return {
            node: (label, crossings[node] if label in entangled else 0)
            for node, label in groups.items()
        }


def _entangled(edges: set[tuple[object, object]]) -> set[object]:
    """What stands on itself by way of others, and what lies between two such."""
    while True:
        above, below = {a for a, _ in edges}, {b for _, b in edges}
        kept = {(a, b) for a, b in edges if a in below and b in above}
        if len(kept) == len(edges):
            return above
        edges = kept
