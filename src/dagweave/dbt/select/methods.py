"""The methods of dbt's node selection: which nodes one criterion finds, before its `+` and `@`.

https://docs.getdbt.com/reference/node-selection/methods
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, cast

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt.manifest import NODE_SECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dagweave.dbt.manifest import Manifest, Node

RESOURCE_TYPES: Final = frozenset(
    {
        "analysis",
        "exposure",
        "function",
        "metric",
        "model",
        "saved_query",
        "seed",
        "semantic_model",
        "snapshot",
        "source",
        "test",
        "unit_test",
    }
)

_NEVER_SELECTED: Final = frozenset(
    {"doc", "fixture", "group", "macro", "operation", "rpc", "sql_operation"}
)
"""dbt knows them as resource types, too."""

_WILDCARDS: Final = frozenset("*?[]")
_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Sought:
    """A method, its arguments (`config.meta.owner` has two) and the value to find."""

    method: str
    arguments: tuple[str, ...]
    value: Any


def _matches(pattern: str) -> Callable[[str], object]:
    return _compiled(pattern).match


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _nodes(manifest: Manifest, *sections: str) -> Iterator[tuple[str, Node]]:
    return ((id_, manifest.node(id_)) for id_ in manifest.ids(*sections))


def _fqn(manifest: Manifest, sought: Sought) -> Iterator[str]:
    value = str(sought.value)
    by_leaf = _patterns_find_names(manifest.dbt_version)
    sections = [name for name in NODE_SECTIONS if name != "sources"]
    for id_, node in _nodes(manifest, *sections):
        fqn = node.fqn or [node.package_name, node.name]
        versioned = node.resource_type == "model" and node.version is not None
        whole_or_inner = (fqn, fqn[1:]) if len(fqn) > 1 else (fqn,)
        if any(_fqn_fits(part, value, versioned, by_leaf) for part in whole_or_inner):
            yield id_


def _patterns_find_names(dbt_version: str) -> bool:
    """Whether `stg_*` finds a model in a folder, as it does since dbt 1.11.16 and 1.12.6."""
    found = _VERSION.match(dbt_version)
    if found is None:
        return True
    major, minor, patch = (int(number) for number in found.groups())
    first = {11: 16, 12: 6}
    return major > 1 or minor > max(first) or patch >= first.get(minor, sys.maxsize)


def _fqn_fits(fqn: Sequence[str], value: str, versioned: bool, by_leaf: bool) -> bool:  # noqa: FBT001
    """Whether `value` is the name of the node, one of its folders, or a pattern of either."""
    leaf = fqn[-2] if versioned and len(fqn) > 1 else fqn[-1]
    if value == leaf:
        return True
    wanted = value.split(".")
    # A version is written with a dot or with an underscore: orders.v2, orders_v2.
    if versioned and "_".join(fqn[-2:]) == "_".join(wanted[-2:]):
        return True
    flat = ".".join(fqn).split(".")
    if len(flat) < len(wanted):
        return False
    for at, part in enumerate(wanted):
        if _WILDCARDS.intersection(part):
            if _matches(".".join(wanted[at:]))(".".join(flat[at:])):
                return True
            return by_leaf and len(wanted) == 1 and bool(_matches(value)(leaf))
        if part != flat[at]:
            return False
    return True


def _tag(manifest: Manifest, sought: Sought) -> Iterator[str]:
    fits = _matches(str(sought.value))
    # A semantic model has tags in its configuration, but dbt does not select by them.
    sections = [name for name in NODE_SECTIONS if name != "semantic_models"]
    for id_, node in _nodes(manifest, *sections):
        if any(fits(tag) for tag in node.all_tags):
            yield id_


def _group(manifest: Manifest, sought: Sought) -> Iterator[str]:
    fits = _matches(str(sought.value))
    for id_, node in _nodes(manifest, "nodes", "metrics"):
        if node.config.group and fits(node.config.group):
            yield id_


def _access(manifest: Manifest, sought: Sought) -> Iterator[str]:
    for id_, node in _nodes(manifest, "nodes"):
        if node.resource_type == "model" and node.access == sought.value:
            yield id_


def _source(manifest: Manifest, sought: Sought) -> Iterator[str]:
    parts = str(sought.value).split(".")
    if len(parts) == 1:
        parts = ["*", *parts, "*"]
    package, source, table = map(_matches, _parts(sought, parts, 3))
    for id_, node in _nodes(manifest, "sources"):
        if package(node.package_name) and source(node.source_name or "") and table(node.name):
            yield id_


def _named(*sections: str) -> Callable[[Manifest, Sought], Iterator[str]]:
    """The method that finds nodes of some sections by `name` or `package.name`."""

    def find(manifest: Manifest, sought: Sought) -> Iterator[str]:
        package, name = map(_matches, _parts(sought, str(sought.value).split("."), 2))
        for id_, node in _nodes(manifest, *sections):
            if package(node.package_name) and name(node.name):
                yield id_

    return find


def _parts(sought: Sought, parts: list[str], wanted: int) -> list[str]:
    if len(parts) > wanted:
        raise InvalidInput(
            f"The dbt selection '{sought.method}:{sought.value}' has {len(parts)} parts.",
            remedy=f"Write up to {wanted}, from the package to the name, with dots between.",
        )
    return ["*"] * (wanted - len(parts)) + parts


def _path(manifest: Manifest, sought: Sought) -> Iterator[str]:
    value = str(sought.value)
    pattern = PurePosixPath(value).parts
    if value.startswith("/"):
        raise InvalidInput(
            f"The dbt selection 'path:{value}' is absolute.",
            remedy="Write the path as it is in the project: path:models/marts",
        )
    # dbt looks for the pattern in the project's own folder, and compares paths with what it finds.
    nodes = (node for _, node in _nodes(manifest) if node.package_name == manifest.project_name)
    files = {file for node in nodes for file in _files(node)}
    own = {folder for file in files for folder in file.parents}
    if not value.endswith(("/", "**")):
        own |= files
    found = {path for path in own if _glob_fits(pattern, path.parts)}
    for id_, node in _nodes(manifest):
        file, *patch = _files(node)
        if file in found or found.intersection(patch) or found.intersection(file.parents):
            yield id_


def _files(node: Node) -> Iterator[PurePosixPath]:
    yield PurePosixPath(node.original_file_path.replace("\\", "/"))
    if node.patch_path:
        yield PurePosixPath(node.patch_path.rpartition("://")[2])


def _glob_fits(pattern: Sequence[str], path: Sequence[str]) -> bool:
    if not pattern:
        return not path
    first, *rest = pattern
    if first == "**":
        return any(_glob_fits(rest, path[at:]) for at in range(len(path) + 1))
    return bool(path) and bool(_matches(first)(path[0])) and _glob_fits(rest, path[1:])


def _file(manifest: Manifest, sought: Sought) -> Iterator[str]:
    fits = _matches(str(sought.value))
    for id_, node in _nodes(manifest):
        path = next(_files(node))
        if fits(path.name) or fits(path.stem):
            yield id_


def _package(manifest: Manifest, sought: Sought) -> Iterator[str]:
    wanted = str(sought.value)
    fits = _matches(manifest.project_name or wanted if wanted == "this" else wanted)
    for id_, node in _nodes(manifest):
        if fits(node.package_name):
            yield id_


def _config(manifest: Manifest, sought: Sought) -> Iterator[str]:
    for id_, node in _nodes(manifest, "nodes", "sources"):
        if sought.arguments == ("materialized",):
            value: Any = node.config.materialized
        else:
            value = _descend(manifest.props(id_).get("config"), sought.arguments)
        if _config_fits(value, sought):
            yield id_


def _descend(value: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = cast("dict[str, Any]", value).get(key)
    return value


def _config_fits(value: Any, sought: Sought) -> bool:
    wanted = sought.value
    if isinstance(value, list):
        return any(_config_fits(each, sought) for each in cast("list[Any]", value))
    if isinstance(value, bool):
        return str(wanted).lower() == str(value).lower()
    if sought.arguments == ("severity",):
        return str(value).lower() == str(wanted).lower()
    return value is not None and value == wanted


def _test_name(manifest: Manifest, sought: Sought) -> Iterator[str]:
    fits = _matches(str(sought.value))
    for id_, node in _nodes(manifest, "nodes", "unit_tests"):
        is_unit_test = node.resource_type == "unit_test"
        name = node.name if is_unit_test else node.test_metadata and node.test_metadata.name
        if name and fits(name):
            yield id_


def _test_type(manifest: Manifest, sought: Sought) -> Iterator[str]:
    wanted = {"schema": "generic"}.get(sought.value, sought.value)
    if wanted not in ("generic", "singular", "data", "unit"):
        raise InvalidInput(
            f"There is no dbt test type {sought.value!r}.",
            remedy="Use test_type:generic, test_type:singular, test_type:data or test_type:unit.",
        )
    for id_, node in _nodes(manifest, "nodes", "unit_tests"):
        if node.resource_type == "unit_test":
            kinds = {"unit"}
        elif node.resource_type == "test":
            kinds = {"data", "generic" if node.test_metadata else "singular"}
        else:
            continue
        if wanted in kinds:
            yield id_


def _resource_type(manifest: Manifest, sought: Sought) -> Iterator[str]:
    if sought.value not in RESOURCE_TYPES | _NEVER_SELECTED:
        raise InvalidInput(
            f"There is no dbt resource type {sought.value!r}.",
            remedy=f"Use one of: {', '.join(sorted(RESOURCE_TYPES))}",
        )
    for id_, node in _nodes(manifest):
        if node.resource_type == sought.value:
            yield id_


def _version(manifest: Manifest, sought: Sought) -> Iterator[str]:
    if sought.value not in ("latest", "prerelease", "old", "none"):
        raise InvalidInput(
            f"There is no dbt version kind {sought.value!r}.",
            remedy="Use version:latest, version:prerelease, version:old or version:none.",
        )
    for id_, node in _nodes(manifest, "nodes"):
        if node.resource_type == "model" and _version_kind(node) == sought.value:
            yield id_


def _version_kind(node: Node) -> str | None:
    version, latest = node.version, node.latest_version
    if version is None:
        return "none"
    if version == latest:
        return "latest"
    # To dbt, 0 is no version here.
    if not (version and latest):
        return None
    try:
        newer = float(version) > float(latest)
    except ValueError:
        newer = str(version) > str(latest)
    return "prerelease" if newer else "old"


METHODS: Final[Mapping[str, Callable[[Manifest, Sought], Iterator[str]]]] = {
    "access": _access,
    "config": _config,
    "exposure": _named("exposures"),
    "file": _file,
    "fqn": _fqn,
    "group": _group,
    "metric": _named("metrics"),
    "package": _package,
    "path": _path,
    "resource_type": _resource_type,
    "saved_query": _named("saved_queries"),
    "semantic_model": _named("semantic_models"),
    "source": _source,
    "tag": _tag,
    "test_name": _test_name,
    "test_type": _test_type,
    "unit_test": _named("unit_tests"),
    "version": _version,
}


def candidates(manifest: Manifest, sought: Sought) -> set[str]:
    """The values that a criterion of this method could have had, to find the nearest of."""
    found: set[str] = set()
    for _, node in _nodes(manifest):
        if sought.method == "tag":
            found.update(node.all_tags)
        elif sought.method == "path":
            file = next(_files(node))
            found.update(str(path) for path in (file, *file.parents))
        elif sought.method == "source":
            if node.source_name:
                found.update((node.source_name, f"{node.source_name}.{node.name}"))
        elif sought.method == "group":
            found.add(node.config.group or "")
        elif sought.method == "package":
            found.add(node.package_name)
        elif sought.method == "file":
            found.add(next(_files(node)).name)
        elif node.resource_type != "source":
            fqn = node.fqn or [node.name]
            found.update((node.name, *(f"{folder}.*" for folder in fqn[1:-1])))
    return found
