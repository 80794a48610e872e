"""Read a dbt manifest: as much of it as we need, whichever dbt wrote it. Knows nothing of Dagster.

A `Manifest` is read once per state of its file, and node by node: a `Node` for ourselves, and on
demand the plain dictionary of a node, which is what users' translators are handed.
"""

from __future__ import annotations

import gc
import re
import shlex
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from weakref import WeakValueDictionary

import msgspec

from dagweave._kernel.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence, Set

ManifestSource: TypeAlias = "Mapping[str, Any] | str | Path"
"""A manifest as users hand it over: its content, or the path of its file."""

READABLE_SCHEMAS: Final = (11, 12, 20)
"""dbt-core 1.7, dbt-core 1.8 to 1.12, dbt Fusion (https://schemas.getdbt.com/)."""

NODE_SECTIONS: Final = (
    "nodes",
    "sources",
    "exposures",
    "metrics",
    "semantic_models",
    "saved_queries",
    "unit_tests",
    "functions",
)
"""The parts of a manifest whose entries are nodes of dbt's graph."""

ASSET_TYPES: Final = frozenset({"model", "seed", "snapshot"})


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Column(msgspec.Struct, gc=False):
    """A column as the project's YAML declares it."""

    name: str = ""
    data_type: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None


class TestMetadata(msgspec.Struct, gc=False):
    """Which generic test a test is made from."""

    __test__ = False

    name: str = ""


class DependsOn(msgspec.Struct, gc=False):
    """The nodes that a node refers to."""

    nodes: tuple[str, ...] | None = None


class Checksum(msgspec.Struct, gc=False):
    """What dbt recognises a changed file by."""

    checksum: str | None = None


class Config(msgspec.Struct, gc=False):
    """The part of a node's configuration that we read."""

    materialized: str | None = None
    enabled: Any = True
    schema: str | None = None
    severity: str | None = None
    group: str | None = None
    meta: dict[str, Any] | None = None
    tags: tuple[str, ...] | str | None = None


class Node(msgspec.Struct, gc=False):
    """A node of dbt's graph. A field that its kind of node does not have is empty.

    Sequences are tuples, of which the garbage collector goes through none that hold only strings.
    """

    unique_id: str = ""
    resource_type: str = ""
    name: str = ""
    package_name: str = ""
    original_file_path: str = ""
    patch_path: str | None = None
    fqn: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    description: str | None = None
    raw_code: str | None = None
    raw_sql: str | None = None
    checksum: Checksum | str | None = None
    columns: dict[str, Column] | None = None
    meta: dict[str, Any] | None = None
    config: Config = msgspec.field(default_factory=Config)
    group: Any = None
    access: str | None = None
    depends_on: DependsOn | None = None
    database: str | None = None
    schema: str | None = None
    alias: str | None = None
    relation_name: str | None = None
    source_name: str | None = None
    version: str | int | float | None = None
    latest_version: str | int | float | None = None
    attached_node: str | None = None
    test_metadata: TestMetadata | None = None

    @classmethod
    def of(cls, props: Mapping[str, Any]) -> Node:
        """Read a node from its plain dictionary."""
        return msgspec.convert(props, cls)

    @property
    def parents(self) -> Sequence[str]:
        """The ids of the nodes that this one refers to, each once."""
        nodes = self.depends_on.nodes if self.depends_on else None
        if not nodes:
            return ()
        return nodes if len(nodes) == 1 else tuple(dict.fromkeys(nodes))

    @property
    def all_tags(self) -> Sequence[str]:
        """The tags, wherever its kind of node has them."""
        tags = self.tags if self.tags is not None else self.config.tags
        return (tags,) if isinstance(tags, str) else tags or ()

    @property
    def code(self) -> str | None:
        """The SQL or Python as written, templates included."""
        return self.raw_sql or self.raw_code

    @property
    def is_ephemeral(self) -> bool:
        """Whether dbt puts it into what refers to it, instead of building it."""
        return self.resource_type == "model" and self.config.materialized == "ephemeral"

    @property
    def is_empty(self) -> bool:
        """Whether there is no code to it, so that dbt leaves it out of every run."""
        code = self.code
        return self.resource_type != "seed" and code is not None and (not code or code.isspace())

    @property
    def is_external(self) -> bool:
        """Whether another project builds it, as dbt-loom and dbt's own plugins say."""
        return self.resource_type == "model" and not self.original_file_path and self.is_empty

    @property
    def is_asset(self) -> bool:
        """Whether dbt builds a table, a view or their like for it."""
        return self.resource_type in ASSET_TYPES and not (self.is_ephemeral or self.is_empty)

    @property
    def is_made_elsewhere(self) -> bool:
        """Whether it is a table that something else writes: a source, or of another project."""
        return self.resource_type == "source" or self.is_external

    @property
    def dagster_meta(self) -> Mapping[str, Any]:
        """What the project's YAML says to Dagster, under `meta: dagster:`."""
        for meta in (self.config.meta, self.meta):
            said: Any = meta.get("dagster") if meta else None
            if isinstance(said, dict):
                return cast("Mapping[str, Any]", said)
        return _NOTHING


_decode_node = msgspec.json.Decoder(Node).decode
_decode_nodes = msgspec.json.Decoder(dict[str, Node]).decode
_decode_plain = msgspec.json.Decoder().decode
_decode_section = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Manifest(Mapping[str, Any]):
    """A dbt manifest. As a mapping it reads like the file; nodes are decoded when looked at."""

    def __init__(self, content: Mapping[str, Any], path: Path | None = None) -> None:
        self.path = path
        self._content = content
        self._plain: dict[str, Any] = {}
        self._nodes: dict[str, Node] = {}
        self._parents: dict[str, Sequence[str]] = {}
        self._entries: dict[str, Mapping[str, Any]] = {}
        self._sections = {
            name: self._ids_in(content[name]) for name in NODE_SECTIONS if content.get(name)
        }
        self._section_of = {id_: name for name, ids in self._sections.items() for id_ in ids}
        metadata: Mapping[str, Any] = self.get("metadata") or {}
        self.project_name: str | None = metadata.get("project_name")
        self.adapter_type: str | None = metadata.get("adapter_type")
        self.dbt_version: str = str(metadata.get("dbt_version") or "")

    @classmethod
    def of(cls, source: ManifestSource) -> Manifest:
        """Return the manifest behind `source`; the same one again while it has not changed.

        Raises:
            InvalidInput: It is missing, empty, cut off, not a manifest, or of a version that we
                do not know; says where it should be and which command makes it.
        """
        if isinstance(source, Manifest):
            return source
        if isinstance(source, Mapping):
            return _of_content(source)
        if not isinstance(source, str | Path):  # pyright: ignore[reportUnnecessaryIsInstance] -- users'
            raise InvalidInput(
                f"A dbt manifest is given as its path or its content, not as {source!r:.80}.",
                remedy="Give project.manifest_path.",
            )
        return _of_file(Path(source).absolute())

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a file that is needed once: it is let go of with the manifest.

        Raises:
            InvalidInput: As `of`.
        """
        with paused_gc():
            return _read(path)

    def _ids_in(self, section: Any) -> Iterable[str]:
        """The ids in a section; its nodes are decoded on the way, if all of them can be."""
        if not isinstance(section, msgspec.Raw):
            return cast("Mapping[str, Any]", section).keys()
        try:
            nodes = _decode_nodes(section)
        except (msgspec.ValidationError, UnicodeDecodeError):
            return _decode_section(section).keys()
        self._nodes.update(nodes)
        return nodes.keys()

    def ids(self, *sections: str) -> Iterable[str]:
        """The ids of all nodes, or of those in some sections."""
        if not sections:
            return self._section_of.keys()
        return [id_ for name in sections for id_ in self._sections.get(name, ())]

    def has_node(self, unique_id: str) -> bool:
        """Whether the manifest holds a node of this id."""
        return unique_id in self._section_of

    def node(self, unique_id: str) -> Node:
        """The node of this id.

        Raises:
            InvalidInput: There is none.
        """
        if (known := self._nodes.get(unique_id)) is not None:
            return known
        entry = self._entry(unique_id)
        try:
            node = _decode_node(entry) if isinstance(entry, msgspec.Raw) else Node.of(entry)
        except msgspec.ValidationError:
            node = self._as_far_as_readable(unique_id)
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"The node {unique_id} of {self} is not UTF-8.",
                seen=str(error),
                remedy="Save its file as UTF-8 and parse the project again: dbt parse",
            ) from error
        return self._nodes.setdefault(unique_id, node)

    def _as_far_as_readable(self, unique_id: str) -> Node:
        """The node without the fields that are not of the type that we know."""
        props: Any = self.props(unique_id)
        readable: dict[str, Any] = {}
        for name, value in props.items() if hasattr(props, "items") else ():
            with suppress(msgspec.ValidationError):
                msgspec.convert({name: value}, Node)
                readable[name] = value
        return Node.of(readable)

    def props(self, unique_id: str) -> Mapping[str, Any]:
        """The plain dictionary of a node, as the file has it.

        Raises:
            InvalidInput: There is no node of this id.
        """
        entry = self._entry(unique_id)
        return _decode_plain(entry) if isinstance(entry, msgspec.Raw) else entry

    def group(self, node: Node) -> Mapping[str, Any] | None:
        """The group that dbt puts the node into, with its owner."""
        name = node.config.group or node.group
        return self._groups.get(name) if isinstance(name, str) else None

    @cached_property
    def _groups(self) -> Mapping[str, Mapping[str, Any]]:
        groups: Mapping[str, Mapping[str, Any]] = self.get("groups") or {}
        return {group["name"]: group for group in groups.values()}

    @cached_property
    def assets(self) -> Set[str]:
        """The ids of the nodes that are assets, in the order of the file."""
        return {id_: None for id_ in self.ids("nodes") if self.node(id_).is_asset}.keys()

    def asset_parents(self, unique_id: str) -> Sequence[str]:
        """The nearest ancestors that are tables or the like, past what dbt does not build."""
        if (known := self._parents.get(unique_id)) is not None:
            return known
        parents = self.node(unique_id).parents
        if self._built.issuperset(parents):
            return self._parents.setdefault(unique_id, parents)
        found: dict[str, None] = {}
        seen: set[str] = set()
        waiting = list(reversed(parents))
        while waiting:
            parent = waiting.pop()
            if parent in seen or not self.has_node(parent):
                continue
            seen.add(parent)
            if parent in self._built:
                found[parent] = None
            elif (node := self.node(parent)).resource_type != "test":
                waiting.extend(reversed(node.parents))
        return self._parents.setdefault(unique_id, tuple(found))

    @cached_property
    def _built(self) -> frozenset[str]:
        """The nodes that are a table or the like, whoever writes it."""
        external = (id_ for id_ in self.ids("nodes") if self.node(id_).is_external)
        return frozenset([*self.assets, *external, *self.ids("sources")])

    def _entry(self, unique_id: str) -> Any:
        section = self._section_of.get(unique_id)
        if section is None:
            raise InvalidInput(
                f"There is no node {unique_id!r} in {self}.",
                remedy="Parse the project again, so that the manifest fits it: dbt parse",
            )
        if section not in self._entries:
            content = self._content[section]
            is_raw = isinstance(content, msgspec.Raw)
            self._entries[section] = _decode_section(content) if is_raw else content
        return self._entries[section][unique_id]

    def __getitem__(self, key: str) -> Any:
        value = self._content[key]
        if not isinstance(value, msgspec.Raw):
            return value
        if key in NODE_SECTIONS:
            return _Section(self, self._sections.get(key, ()))
        if key not in self._plain:
            self._plain[key] = _decode_plain(value)
        return self._plain[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    # Itself, and no other of equal content; asked for by the hundred thousand.
    __eq__ = object.__eq__
    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType] -- a Mapping has none

    def __str__(self) -> str:
        return f"the manifest {self.path}" if self.path else "the manifest"

    def __repr__(self) -> str:
        return f"Manifest({str(self.path)!r}, {len(self._section_of)} nodes)"


class _Section(Mapping[str, Mapping[str, Any]]):
    """One section of a manifest's file, whose nodes are decoded when looked at."""

    def __init__(self, manifest: Manifest, ids: Iterable[str]) -> None:
        self._manifest = manifest
        self._ids = dict.fromkeys(ids)

    def __getitem__(self, unique_id: str) -> Mapping[str, Any]:
        if unique_id not in self._ids:
            raise KeyError(unique_id)
        return self._manifest.props(unique_id)

    def __contains__(self, unique_id: object) -> bool:
        return unique_id in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


@contextmanager
def paused_gc() -> Generator[None]:
    """Within the block, no garbage is collected.

    Building objects by the ten thousand makes the collector go through all of them again and
    again, in vain: nothing of it is garbage.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


_files: dict[Path, tuple[tuple[int, int], Manifest]] = {}
_contents: WeakValueDictionary[int, Manifest] = WeakValueDictionary()


def _of_content(content: Mapping[str, Any]) -> Manifest:
    # A manifest holds its content, so that the address of a known one cannot be another's.
    known = _contents.get(id(content))
    if known is None:
        # A user's own may be cut down to what is of interest.
        if "nodes" not in content:
            raise InvalidInput(
                "The dictionary given is no dbt manifest: it has no nodes.",
                remedy="Give the content of target/manifest.json, or its path.",
            )
        _check_schema("given as a dictionary", content.get("metadata") or {})
        known = _contents[id(content)] = Manifest(content)
    return known


def _of_file(path: Path) -> Manifest:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, f"There is no such file ({error.strerror}).") from error
    signature = (status.st_mtime_ns, status.st_size)
    known = _files.get(path)
    if known is None or known[0] != signature:
        known = _files[path] = (signature, Manifest.read(path))
    return known[1]


def _read(path: Path) -> Manifest:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    if not data.strip():
        raise _unreadable(path, "The file is empty.")
    try:
        content = _decode_section(data)
        metadata: object = _decode_plain(content.get("metadata", b"null"))
        if not isinstance(metadata, Mapping) or "nodes" not in content:
            raise _unreadable(path, "It has no metadata or no nodes: it is not a dbt manifest.")
        _check_schema(str(path), {"dbt_schema_version": None, **metadata})
        return Manifest(content, path)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        seen = f"It is not whole, or not JSON of a manifest ({len(data):,} bytes): {error}"
        raise _unreadable(path, seen) from error


def _check_schema(what: str, about: Mapping[str, Any]) -> None:
    if "dbt_schema_version" not in about:
        return
    schema = str(about["dbt_schema_version"])
    found = re.search(r"/manifest/v(\d+)", schema)
    if found and int(found.group(1)) in READABLE_SCHEMAS:
        return
    known = ", ".join(f"v{version}" for version in READABLE_SCHEMAS)
    raise InvalidInput(
        f"The dbt manifest ({what}) is of a version that Dagweave does not know.",
        seen=f"Schema {schema}, written by dbt {about.get('dbt_version')}. Known: {known}.",
        remedy="Use dbt 1.8 to 1.12 or dbt Fusion 2, or a newer Dagweave.",
    )


def _unreadable(path: Path, seen: str) -> InvalidInput:
    return InvalidInput(
        f"The dbt manifest {path} cannot be read.",
        seen=seen,
        remedy=f"Make it: {_parse_command(path)}\n"
        "(In `dagster dev`, DbtProject.prepare_if_dev() does; elsewhere it is part of the build.)",
    )


def _parse_command(path: Path) -> str:
    folder = next((up for up in path.parents if (up / "dbt_project.yml").exists()), None)
    if folder is None:
        return "dbt parse"
    has_packages = any((folder / name).exists() for name in ("packages.yml", "dependencies.yml"))
    return f"cd {shlex.quote(str(folder))} && {'dbt deps && ' if has_packages else ''}dbt parse"
