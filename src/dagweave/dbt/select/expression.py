"""Read dbt's selection language: expressions of the command line, and selectors of YAML."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.select.methods import METHODS, Sought

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dagweave.dbt.manifest import Manifest

Indirect = Literal["eager", "cautious", "buildable", "empty"]
"""Which tests come with the nodes they test.

https://docs.getdbt.com/reference/node-selection/test-selection-examples#indirect-selection
"""

EVERYTHING: Final = "fqn:*"

_CRITERION = re.compile(
    r"(?P<around>@)?"
    r"(?P<parents>(?P<parents_depth>\d*)\+)?"
    r"(?:(?P<method>[\w.]+):)?(?P<value>.*?)"
    r"(?P<children>\+(?P<children_depth>\d*))?"
)
_NEEDS_STATE: Final = frozenset({"state", "result", "source_status"})


class NotEvaluatedHere(InvalidInput):
    """A selection that it takes dbt itself to evaluate, if anything can."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One method with its value, and how far it reaches along the graph."""

    raw: str
    sought: Sought
    parents: float = 0
    children: float = 0
    around: bool = False
    indirect: Indirect | None = None


@dataclass(frozen=True, slots=True)
class Combined:
    """Criteria combined: `union`, `intersection`, or the first without the others."""

    how: Literal["union", "intersection", "difference"]
    parts: tuple[Spec, ...]
    on_command_line: bool = False
    """Whether tests whose parents are selected by several of its parts come along."""


Spec: TypeAlias = Criterion | Combined


def read(manifest: Manifest, *, select: str, exclude: str, selector: str) -> Spec:
    """Read a selection; `selector` names one of the manifest's YAML selectors.

    Raises:
        InvalidInput: It cannot be read, or names a method or a selector that is not there.
    """
    if selector:
        if select not in ("", EVERYTHING) or exclude:
            raise InvalidInput(
                "A dbt selector cannot be combined with select or exclude.",
                seen=f"selector={selector!r}, select={select!r}, exclude={exclude!r}",
                remedy="Give the one or the others; a selector's YAML may exclude by itself.",
            )
        return _named(manifest, selector, ())
    included = _union(select or EVERYTHING)
    return Combined("difference", (included, _union(exclude))) if exclude.strip() else included


def _union(expression: str) -> Spec:
    parts = (
        Combined(
            "intersection", tuple(parse(part) for part in word.split(",")), on_command_line=True
        )
        for word in expression.split()
    )
    return Combined("union", tuple(parts), on_command_line=True)


def parse(text: str) -> Criterion:
    """Read one criterion: `tag:nightly`, `2+orders`, `@path:models/marts`.

    Raises:
        InvalidInput: It cannot be read.
    """
    found = _CRITERION.fullmatch(text)
    if found is None:
        raise InvalidInput(f"The dbt selection {text!r} cannot be read.")
    return _criterion(text, cast("dict[str, Any]", found.groupdict()))


def _criterion(raw: str, said: Mapping[str, Any]) -> Criterion:
    value = said["value"]
    method, *arguments = str(said.get("method") or _default_method(str(value))).split(".")
    if method not in METHODS:
        known = ", ".join(sorted(METHODS))
        raise NotEvaluatedHere(
            f"The dbt selection {raw!r} uses the method {method!r}, which is not evaluated here.",
            seen="It compares with the state of an earlier run."
            if method in _NEEDS_STATE
            else None,
            remedy=f"use one of {known}.",
        )
    around = bool(said.get("around") or said.get("childrens_parents"))
    if around and said.get("children"):
        raise InvalidInput(f"The dbt selection {raw!r} has both '@' before and '+' behind it.")
    return Criterion(
        raw=raw,
        sought=Sought(method, tuple(arguments), value),
        parents=_reach(said, "parents"),
        children=_reach(said, "children"),
        around=around,
        indirect=said.get("indirect_selection"),
    )


def _default_method(value: str) -> str:
    if "/" in value:
        return "path"
    return "file" if value.lower().endswith((".sql", ".py", ".csv")) else "fqn"


def _reach(said: Mapping[str, Any], direction: str) -> float:
    if not said.get(direction):
        return 0
    depth = said.get(f"{direction}_depth")
    return math.inf if depth in (None, "") else int(cast("str", depth))


def _named(manifest: Manifest, name: str, within: tuple[str, ...]) -> Spec:
    selectors: Mapping[str, Any] = manifest.get("selectors") or {}
    if name not in selectors or name in within:
        near = difflib.get_close_matches(name, selectors, n=3)
        raise InvalidInput(
            f"There is no dbt selector {name!r} in {manifest}.",
            seen=f"Selectors: {', '.join(near or sorted(selectors)) or 'none'}.",
            remedy="Define it in selectors.yml and parse the project again: dbt parse",
        )
    return _defined(manifest, selectors[name]["definition"], (*within, name))


def _defined(manifest: Manifest, said: Any, within: tuple[str, ...]) -> Spec:
    """Read one definition of YAML.

    https://docs.getdbt.com/reference/node-selection/yaml-selectors
    """
    if isinstance(said, str):
        return parse(said)
    definition = cast("Mapping[str, Any]", said)
    for how in ("union", "intersection"):
        if how in definition:
            parts = cast("Sequence[Any]", definition[how])
            excluding = [part for part in parts if _excludes(manifest, part)]
            kept = [_defined(manifest, part, within) for part in parts if part not in excluding]
            return _without(manifest, Combined(how, tuple(kept)), excluding, within)
    if len(definition) == 1:
        [(method, value)] = definition.items()
        return _criterion(f"{method}:{value}", {"method": method, "value": value})
    if definition.get("method") == "selector":
        return _named(manifest, str(definition["value"]), within)
    if "method" not in definition or "value" not in definition:
        raise InvalidInput(
            f"The dbt selector {within[-1]!r} cannot be read.",
            seen=f"{definition} has no method and value.",
        )
    base = _criterion(f"{definition['method']}:{definition['value']}", definition)
    return _without(manifest, base, [definition], within)


def _excludes(manifest: Manifest, part: Any) -> bool:
    """Whether one of several parts says what to leave out of the others.

    To dbt it does if it has an exclusion, even if it names a method as well. What it names through
    a selector is whole, though; the manifest has it in the place of the name.
    """
    if not isinstance(part, dict) or "exclude" not in part:
        return False
    selectors: Mapping[str, Any] = manifest.get("selectors") or {}
    return "method" not in part or all(part != each["definition"] for each in selectors.values())


def _without(manifest: Manifest, base: Spec, parts: Iterable[Any], within: tuple[str, ...]) -> Spec:
    excluded = [
        _defined(manifest, each, within)
        for part in parts
        if isinstance(part, dict)
        for each in cast("dict[str, Any]", part).get("exclude", ())
    ]
    return Combined("difference", (base, Combined("union", tuple(excluded)))) if excluded else base
