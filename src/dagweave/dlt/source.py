"""Read what a dlt source and its pipeline say before anything runs: resources, tables, places.

Nothing here connects to anything or asks for credentials, so that definitions load anywhere.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, overload

from dagweave._kernel.errors import InvalidInput
from dagweave._kernel.extras import require
from dagweave.dlt.outline import DestinationOutline, PipelineOutline, ResourceOutline
from dagweave.weaving.duckdb_file import catalog_of, one_spelling
from dagweave.weaving.table_ref import TableRef, canonical_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from dlt import Pipeline, Schema
    from dlt.common.destination import DestinationCapabilitiesContext
    from dlt.common.destination.client import DestinationClientConfiguration
    from dlt.common.destination.reference import AnyDestination
    from dlt.extract import DltResource, DltSource
    from dlt.extract.pipe import Pipe

BINDING = "dagweave/dlt"
"""In an asset's metadata: the `Binding` that says what the asset is loaded from."""

# Databases of DuckDB that are no file.
_NO_FILE = frozenset({":memory:", ":external:"})


class Binding(str):
    """What one asset is loaded from, and through which pipeline.

    A run finds its way back from assets to resources by these, never by translating again: the
    keys may have been changed since. It is a text, so that Dagster's UI shows it as one. `source`
    and `pipeline` are as they were given: the object, or the function that makes it.
    """

    resource: str
    source_name: str
    pipeline_name: str
    source: object
    pipeline: object
    nested: str | None
    """The nested table that the asset is; none for that of the resource itself."""

    def __new__(
        cls,
        resource: str,
        source_name: str,
        pipeline_name: str,
        source: object,
        pipeline: object,
        *,
        nested: str | None = None,
    ) -> Self:
        shown = f"{source_name}.{resource} → {pipeline_name}"
        binding = super().__new__(cls, f"{shown} ({nested})" if nested else shown)
        binding.resource, binding.source_name = resource, source_name
        binding.pipeline_name, binding.nested = pipeline_name, nested
        binding.source, binding.pipeline = source, pipeline
        return binding

    def of_nested(self, table: str) -> Self:
        """That of a table nested in this one's."""
        return type(self)(
            self.resource,
            self.source_name,
            self.pipeline_name,
            self.source,
            self.pipeline,
            nested=table,
        )


def checked_source(given: object, *, what: str) -> DltSource:
    """Return `given` if it is a source with something to load.

    Raises:
        InvalidInput: It is something else.
        MissingExtra: dlt is not installed.
    """
    require("dlt", extra="dlt", what=what)
    from dlt.extract import DltResource, DltSource

    if isinstance(given, DltSource):
        if not given.selected_resources:
            raise InvalidInput(
                f"{what} got the dlt source {given.name!r}, of which no resource is selected.",
                seen=f"Its resources: {_listed(given.resources) or 'none'}.",
                remedy="Return at least one resource from the source, or select one with "
                ".with_resources(...).",
            )
        return given
    if isinstance(given, DltResource):
        raise InvalidInput(
            f"{what} got the dlt resource {given.name!r}, not a source.",
            remedy="Put it in a source, whose name says where dlt finds its configuration and "
            f"keeps its state:\n  @dlt.source\n  def my_source():\n      return {given.name}\n"
            "and pass dlt_source=my_source().",
        )
    raise InvalidInput(
        f"{what} got {_shown(given)} as dlt_source, not a dlt source.",
        remedy="Pass a function decorated with @dlt.source, or what it returns.",
    )


def checked_pipeline(given: object, *, what: str) -> Pipeline:
    """Return `given` if it is a pipeline.

    Raises:
        InvalidInput: It is something else.
        MissingExtra: dlt is not installed.
    """
    require("dlt", extra="dlt", what=what)
    from dlt import Pipeline

    if isinstance(given, Pipeline):
        return given
    raise InvalidInput(
        f"{what} got {_shown(given)} as dlt_pipeline, not a dlt pipeline.",
        remedy="Pass what dlt.pipeline(pipeline_name=..., destination=..., dataset_name=...) "
        "returns.",
    )


def tables_of(source: DltSource, pipeline: Pipeline) -> Mapping[str, TableRef]:
    """The table of each selected resource, as its warehouse will store the name.

    A resource is left out if its table cannot be told before it runs: the name depends on the data,
    the dataset gets a new name each time (`dev_mode`), or the destination has no tables.
    """
    names = {
        resource.name: str(resource.table_name)
        for resource in source.selected_resources.values()
        if not resource.has_dynamic_table_name
    }
    return _tables(source.schema, names, pipeline)


def tables_named(
    source_name: str, names: Mapping[str, str], pipeline: Pipeline
) -> Mapping[str, TableRef]:
    """As `tables_of`, for a source of which the table names are known, by resource."""
    import dlt

    return _tables(dlt.Schema(source_name), names, pipeline)


def _tables(schema: Schema, names: Mapping[str, str], pipeline: Pipeline) -> Mapping[str, TableRef]:
    from dlt.common.destination.client import DestinationClientDwhConfiguration

    destination = destination_of(pipeline)
    if (
        destination is None
        or not issubclass(destination.spec, DestinationClientDwhConfiguration)
        or not pipeline.dataset_name
        or not pipeline.config.use_single_dataset
        or pipeline.dev_mode
    ):
        return {}
    naming = _schema_in(schema, destination).naming
    name = pipeline.dataset_name
    if destination.config_params.get("enable_dataset_name_normalization", True):
        name = naming.normalize_table_identifier(name)
    dataset = Dataset.of(
        name,
        destination,
        destination.capabilities(naming=naming),
        duckdb_file(_offline_configuration(destination)),
    )
    return {
        resource: dataset.table(naming.normalize_tables_path(table))
        for resource, table in names.items()
    }


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where the tables of a pipeline are, and how the destination spells names."""

    name: str
    database: str | None
    kind: str | None
    location: str | None
    fold: Callable[[str], str]

    @classmethod
    def of(
        cls,
        name: str,
        destination: AnyDestination,
        capabilities: DestinationCapabilitiesContext,
        file: Path | None,
        database: str | None = None,
    ) -> Dataset:
        """The dataset of a normalized `name`; in a DuckDB, in the database of its `file`."""
        fold = capabilities.casefold_identifier
        return cls(
            name=fold(name),
            database=database or (catalog_of(file) if file else None),
            kind=storage_kind(destination),
            location=str(file) if file else None,
            fold=fold,
        )

    def table(self, name: str) -> TableRef:
        """The table of a normalized `name`, in the spelling that the destination stores."""
        return TableRef(self.fold(name), self.name, self.database, self.kind, self.location)


@overload
def destination_of(pipeline: Pipeline) -> AnyDestination | None: ...
@overload
def destination_of(
    pipeline: Pipeline | PipelineOutline,
) -> AnyDestination | DestinationOutline | None: ...
def destination_of(
    pipeline: Pipeline | PipelineOutline,
) -> AnyDestination | DestinationOutline | None:
    """Where the pipeline loads to; `None` if that is left to the run."""
    return pipeline.destination


def storage_kind(destination: AnyDestination | DestinationOutline | None) -> str | None:
    """`duckdb`, `snowflake`, …: the destination's type, whatever its name is."""
    if destination is None:
        return None
    return canonical_kind(destination.destination_type.rpartition(".")[2])


def duckdb_file(configuration: DestinationClientConfiguration | None) -> Path | None:
    """The file, in its one spelling, if the destination is a DuckDB that keeps tables in one."""
    if configuration is None or configuration.destination_type != "duckdb":
        return None
    database = getattr(configuration.credentials, "database", None)
    if not isinstance(database, str) or database in _NO_FILE:
        return None
    return one_spelling(database)


def _offline_configuration(destination: AnyDestination) -> DestinationClientConfiguration | None:
    """A DuckDB's configuration, which needs no credentials; of others, dlt would look for some."""
    from dlt.common.exceptions import DltException

    if destination.destination_type == "dlt.destinations.duckdb":
        # What dlt cannot resolve is for the run to report, not for loading the definitions.
        with suppress(DltException, ValueError):
            spec = destination.spec()
            # Any will do: dlt looks for the file only once a dataset is set.
            spec.update({"dataset_name": "any"})
            return destination.configuration(spec, accept_partial=True)
    return None


def description_of(resource: DltResource | ResourceOutline) -> str | None:
    """The docstring of the function behind a resource."""
    if isinstance(resource, ResourceOutline):
        return resource.description
    function = _pipe_of(resource).gen
    return inspect.getdoc(function) if inspect.isroutine(function) else None


def parent_of(resource: DltResource) -> str | None:
    """The resource whose data a transformer takes."""
    pipe = _pipe_of(resource)
    return pipe.parent.name if pipe.has_parent else None


def origin_of(resource: DltResource | ResourceOutline) -> str:
    """The resource that the data comes from: itself, or where a chain of transformers starts."""
    if isinstance(resource, ResourceOutline):
        return resource.origin
    pipe = _pipe_of(resource)
    while pipe.has_parent:
        pipe = pipe.parent
    return pipe.name


def _pipe_of(resource: DltResource) -> Pipe:
    # dlt has no public way to a resource's function and parent.
    return resource._pipe  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _schema_in(schema: Schema, destination: AnyDestination) -> Schema:
    """A copy of a source's schema, under the naming rules of the destination."""
    from dlt.common.configuration.container import Container

    with Container().injectable_context(destination.capabilities()):
        return schema.clone(update_normalizers=True)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _shown(given: object) -> str:
    return f"{_name_of(given)!r}" if callable(given) else f"a {type(given).__name__}"


def _name_of(given: object) -> str:
    return str(getattr(given, "__name__", None) or getattr(given, "name", None) or given)
