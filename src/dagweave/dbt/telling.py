"""What to tell dbt, so that it runs what a step should, and its tests with it.

A whole definition is told as it was written, a part of it node by node. Tests come with the nodes
they test; those that should run and would not come so are named.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, cast

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import checks, keys
from dagweave.dbt.listing import selected_nodes, state_args, takes_dbt
from dagweave.dbt.select import EVERYTHING, along_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence, Set

    from dagweave.dbt.arguments import Arguments
    from dagweave.dbt.manifest import Manifest, Node
    from dagweave.dbt.scope import Scope
    from dagweave.dbt.select import Indirect
    from dagweave.dbt.translation import Step

INDIRECT_SELECTION: Final = "DBT_INDIRECT_SELECTION"

_NOTHING: Final = ["--exclude", EVERYTHING]
_NOT_IN_A_NAME: Final = re.compile(r"[\s,:+@*?\[\]]")
# Linux takes 2 MiB of arguments and environment; most of it is left to the rest.
_MOST_BYTES: Final = 1_000_000


@dataclass(frozen=True)
class Told:
    """What to tell dbt to run."""

    arguments: list[str]
    indirect: Indirect | None = None
    owed: Set[str] = field(default_factory=frozenset[str])
    """The nodes that dbt then owes a result of."""


def tell(scope: Scope, said: Arguments) -> Told:
    """What to tell dbt for a step, beside the arguments that the user gives.

    Raises:
        InvalidInput: They have a selector, beside which dbt would not see a part.
    """
    return _Telling(scope, said).told()


class _Telling:
    def __init__(self, scope: Scope, said: Arguments) -> None:
        self._scope = scope
        self._manifest = scope.manifest
        self._said = said
        mode = said.indirect or os.environ.get(INDIRECT_SELECTION) or "eager"
        self._mode: Indirect = cast("Indirect", mode)
        tags = scope.assets_def.op.tags
        self._select = str(tags.get(keys.SELECT) or "")
        self._exclude = str(tags.get(keys.EXCLUDE) or "")
        self._selector = str(tags.get(keys.SELECTOR) or "")

    def told(self) -> Told:
        scope = self._scope
        if scope.step is not None:
            return self._one_of_many_steps()
        if scope.is_whole and not scope.done.ids:
            if self._selector and not self._has_more_than_the_selector():
                return self._owing(["--selector", self._selector, *self._state()])
            if self._select:
                return self._whole()
        if self._said.has_selector:
            raise InvalidInput(
                "--selector cannot run a part of a definition: dbt would run all that it selects.",
                remedy="Say it where the assets are defined: @dbt_assets(selector=...)",
            )
        return self._part()

    def _one_of_many_steps(self) -> Told:
        """Exactly what is this step's: what else dbt would run, another step runs."""
        if self._said.selects or self._said.has_selector:
            raise InvalidInput(
                "--select and --selector of a command would be run by each step of a definition "
                "that was split.",
                remedy="Say it where the assets are defined: @dbt_assets(select=...)",
            )
        named = self._named([*self._scope.to_build, *sorted(self._tests)])
        owed = self._scope.to_build.keys() | self._tests
        return Told(_arguments(named, ""), "empty", owed)

    def _has_more_than_the_selector(self) -> bool:
        """Whether there is something to add to the selector, beside which dbt sees nothing else."""
        return bool(self._said.selects or self._said.excludes or self._forgotten())

    def _whole(self) -> Told:
        named = self._named(sorted(self._forgotten()))
        told = _arguments([*self._select.split(), *named], self._exclude)
        return self._owing([*told, *self._state()])

    def _state(self) -> list[str]:
        """What a selection like `state:modified` compares with, unless the user says it."""
        written = {"select": self._select, "exclude": self._exclude, "selector": self._selector}
        said = any(arg.partition("=")[0] == "--state" for arg in self._said.rest)
        if said or not takes_dbt(self._manifest, **written):
            return []
        return state_args(self._scope.project)

    def _forgotten(self) -> Set[str]:
        """The checks that should run, and would not come with the definition as it was written."""
        return frozenset() if self._without_tests else self._scope.to_check.keys() - self._selected

    @cached_property
    def _selected(self) -> Set[str]:
        """What dbt selects by itself for the definition as it was written."""
        return selected_nodes(
            self._manifest,
            self._scope.project,
            select=self._select or EVERYTHING,
            exclude=self._exclude,
            selector=self._selector,
            indirect=self._mode,
        ).ids

    @property
    def _without_tests(self) -> bool:
        """Whether the user says that dbt is to build what is named, and run no test along with it."""
        return self._said.indirect == "empty" and bool(self._scope.outputs)

    @cached_property
    def _tests(self) -> Set[str]:
        """All tests that should run: the checks, and with them what is no check."""
        scope = self._scope
        if scope.step is not None:
            return self._tests_of(scope.step)
        if self._without_tests or (scope.all_checks and not scope.checks):
            return frozenset()
        # What is no check cannot be deselected, nor is it known to have gone well.
        unmodelled = along_with(self._manifest, scope.outputs.keys(), self._mode)
        if self._select or self._selector:
            unmodelled &= self._selected
        return scope.to_check.keys() | (unmodelled - scope.all_checks.keys())

    def _tests_of(self, step: Step) -> Set[str]:
        scope = self._scope
        chosen = scope.context.selected_asset_keys
        # A step may also test what others build, which says nothing of its own assets.
        has_checks = any(key.asset_key in chosen for key in scope.all_checks.values())
        if self._without_tests or (has_checks and not scope.checks):
            return frozenset()
        comes = {test for test, nodes in step.along.items() if nodes & scope.outputs.keys()}
        return scope.to_check.keys() | comes

    def _part(self) -> Told:
        scope = self._scope
        assets = list(scope.to_build)
        coming = along_with(self._manifest, scope.to_build.keys(), self._mode)
        chosen = self._scope.context.selected_asset_keys
        unwanted = {
            test
            for test in coming - self._tests
            if test in scope.all_checks and scope.all_checks[test].asset_key in chosen
        }
        along = self._named([*assets, *sorted(self._tests - coming)])
        if not unwanted:
            return self._owing(_arguments(along, self._exclude))
        exactly = self._named([*assets, *sorted(self._tests)])
        if _size(exactly) < _MOST_BYTES:
            return self._owing(_arguments(exactly, self._exclude), "empty")
        without = [*self._exclude.split(), *self._named(sorted(unwanted))]
        return self._owing(_arguments(along, " ".join(without)))

    def _owing(self, arguments: list[str], indirect: Indirect | None = None) -> Told:
        tests: Set[str] = frozenset() if self._without_tests else self._scope.to_check.keys()
        return Told(arguments, indirect, self._scope.to_build.keys() | tests)

    def _named(self, ids: Iterable[str]) -> list[str]:
        if self._scope.translator.settings.enable_dbt_selection_by_name:
            return [_name(self._manifest.node(id_)) for id_ in ids]
        return [self._exactly(self._manifest.node(id_)) for id_ in ids]

    def _exactly(self, node: Node) -> str:
        """The node, and no other: by its name with all its folders."""
        dotted = ".".join(node.fqn or [node.name])
        text = exactly(node)
        # A model beside a folder of its own name would be taken for all that is in it.
        return f"{text},path:{node.original_file_path}" if dotted in self._folders else text

    @cached_property
    def _folders(self) -> frozenset[str]:
        return frozenset(_folders(self._manifest))


def exactly(node: Node) -> str:
    """What selects a node by its name with all its folders; a source by its own."""
    if node.resource_type == "source":
        return f"source:{node.package_name}.{node.source_name}.{node.name}"
    return "fqn:" + _NOT_IN_A_NAME.sub("?", ".".join(node.fqn or [node.name]))


def _folders(manifest: Manifest) -> Iterator[str]:
    for unique_id in manifest.ids():
        fqn = manifest.node(unique_id).fqn or ()
        for end in range(1, len(fqn)):
            yield ".".join(fqn[:end])


def _name(node: Node) -> str:
    if node.resource_type in checks.TEST_TYPES:
        return _NOT_IN_A_NAME.sub("?", node.name)
    return PurePosixPath(node.original_file_path).stem


def _arguments(selected: Sequence[str], exclude: str) -> list[str]:
    # One argument each: a single one may not be longer than 128 KiB.
    if not selected:
        return _NOTHING
    return ["--select", *selected, *(["--exclude", *exclude.split()] if exclude.strip() else [])]


def _size(arguments: Sequence[str]) -> int:
    return sum(len(argument.encode()) + 1 for argument in arguments)
