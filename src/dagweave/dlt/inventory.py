"""Know a source that is given as a function, without calling it each time that definitions load.

The first time, the function is called and what came out of it is kept as a snapshot; from there on
`dagweave refresh` renews it. Secrets that are missing then are stood in for: most sources need
them to extract only. The run calls the function anew, and needs them.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from dagweave._dagster.snapshots import obtain
from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave._kernel.extras import require
from dagweave._kernel.redact import redact
from dagweave._kernel.state import StateFile
from dagweave.dlt.errors import dlt_errors, secret_variables
from dagweave.dlt.outline import (
    FORMAT,
    DestinationOutline,
    Inventory,
    PipelineOutline,
    ResourceOutline,
    TableOutline,
)
from dagweave.dlt.source import (
    checked_pipeline,
    checked_source,
    description_of,
    destination_of,
    origin_of,
    parent_of,
    tables_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from collections.abc import Set as AbstractSet

    from dlt import Pipeline
    from dlt.extract import DltResource, DltSource

_STAND_IN = "dagweave-stand-in"
_PLAIN = (str, int, float, bool, type(None))


def is_factory(given: object) -> TypeGuard[Callable[[], Any]]:
    """Whether `given` is a function that makes a source or a pipeline, and not one of these."""
    # A resource of dlt can be called as well, and `dlt.pipeline` itself makes none that was meant.
    return (
        callable(given)
        and not hasattr(given, "pipeline_name")
        and not hasattr(given, "add_map")
        and getattr(given, "__module__", None) != "dlt.pipeline"
    )


def inventory_of(source: object, pipeline: object, *, name: str | None, what: str) -> Inventory:
    """What is known of a source and pipeline of which at least one is given as a function.

    Raises:
        InvalidInput: There is no snapshot, and the function does not make a source either.
    """
    file = StateFile("dlt", _identity(source, pipeline, name), Inventory, FORMAT)

    def take() -> Inventory:
        made = made_pipeline(pipeline, what=what)
        return _inventory(made_source(source, made, what=what, offline=True), made)

    return obtain(file, take).data


def made_pipeline(given: object, *, what: str) -> Pipeline:
    """The pipeline that `given` is or makes.

    Raises:
        InvalidInput: It is something else.
        MissingExtra: dlt is not installed.
    """
    if not is_factory(given):
        return checked_pipeline(given, what=what)
    require("dlt", extra="dlt", what=what)
    return checked_pipeline(given(), what=what)


def made_source(
    given: object, pipeline: Pipeline, *, what: str, offline: bool = False
) -> DltSource:
    """The source that `given` is or makes, under the rules of the pipeline's destination.

    Args:
        offline: Whether credentials may be stood in for, which the error then says.

    Raises:
        DagweaveError: as `dlt_errors` has it, for what dlt says when the function is called.
        InvalidInput: The function wants arguments, or makes something else.
        WorkFailed: The user's own code raised, in a run.
    """
    if not is_factory(given):
        return checked_source(given, what=what)
    _refuse_arguments(given, what)
    # dlt gives a source the naming rules of the pipeline that is active.
    pipeline.activate()
    try:
        with dlt_errors(pipeline):
            made = _called(given) if offline else given()
    except DagweaveError as error:
        if offline:
            raise _no_inventory(given, error.seen or error.what, what) from error
        raise
    except Exception as error:
        if not offline:
            raise
        seen = redact(f"{type(error).__name__}: {error}", secret_variables())
        raise _no_inventory(given, seen, what) from error
    if is_factory(made) or inspect.isgenerator(made):
        raise InvalidInput(
            f"{what} got the function {_name(given)!r} as dlt_source, which makes no dlt source.",
            seen=f"When called, it returned a {type(made).__name__}.",
            remedy="Decorate it with @dlt.source, or return what such a function returns.",
        )
    return checked_source(made, what=what)


def _no_inventory(factory: object, seen: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"{what} has no inventory of dlt source {_name(factory)!r} yet, and it cannot be made here.",
        seen=seen,
        remedy="Make it where the source can be reached and its credentials are: dagweave refresh. "
        "Definitions then load from it, if DAGWEAVE_STATE_DIR (or DAGSTER_HOME, or the project's "
        ".dagweave) has it.",
    )


def _inventory(source: DltSource, pipeline: Pipeline) -> Inventory:
    tables = tables_of(source, pipeline)
    destination = destination_of(pipeline)
    return Inventory(
        source_name=source.name,
        pipeline=PipelineOutline(
            pipeline_name=pipeline.pipeline_name,
            dataset_name=None if pipeline.dev_mode else pipeline.dataset_name,
            destination=DestinationOutline(
                destination_name=destination.destination_name,
                destination_type=destination.destination_type,
            )
            if destination
            else None,
            dev_mode=bool(pipeline.dev_mode),
        ),
        resources=[
            _resource(resource, tables.get(resource.name))
            for resource in source.selected_resources.values()
        ],
    )


def _resource(resource: DltResource, table: Any) -> ResourceOutline:
    dynamic = resource.has_dynamic_table_name
    hints = cast("dict[str, Any]", resource.compute_table_schema() if not dynamic else {})
    columns = cast("dict[str, dict[str, Any]]", hints.get("columns") or {})
    disposition = hints.get("write_disposition")
    return ResourceOutline(
        name=resource.name,
        source_name=resource.source_name,
        table_name=resource.name if dynamic else str(resource.table_name),
        has_dynamic_table_name=dynamic,
        description=description_of(resource),
        parent=parent_of(resource),
        origin=origin_of(resource),
        write_disposition=disposition if isinstance(disposition, str) else None,
        primary_key=[name for name, column in columns.items() if column.get("primary_key")],
        merge_key=[name for name, column in columns.items() if column.get("merge_key")],
        columns={name: column.get("data_type") for name, column in columns.items()},
        table=TableOutline(
            name=table.name,
            schema=table.schema,
            database=table.database,
            kind=table.kind,
            location=table.location,
        )
        if table
        else None,
    )


def _called(factory: Callable[[], Any]) -> Any:
    """What a function makes; texts and secrets that it misses, and only those, are stood in for."""
    from dlt.common.configuration.exceptions import ConfigFieldMissingException, LookupTrace

    stood_in: set[str] = set()
    while True:
        try:
            with _stand_ins(stood_in):
                return factory()
        except ConfigFieldMissingException as error:
            # What is a configuration of its own, such as credentials, has to hold together.
            missing = {
                field
                for field, traces in error.traces.items()
                if all(isinstance(trace, LookupTrace) for trace in traces)
            }
            if missing != set(error.traces) or missing <= stood_in:
                raise
            stood_in |= missing


@contextmanager
def _stand_ins(fields: AbstractSet[str]) -> Generator[None]:
    """Within the block, dlt finds a value for these fields, which it would find nowhere else."""
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.providers.provider import ConfigProvider
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

    class StandIns(ConfigProvider):
        @property
        def name(self) -> str:
            return "dagweave"

        @property
        def supports_secrets(self) -> bool:
            return True

        @property
        def supports_sections(self) -> bool:
            return True

        def get_value(
            self,
            key: str,
            hint: type[Any],  # noqa: ARG002 -- dlt's
            pipeline_name: str | None,  # noqa: ARG002 -- dlt's
            *sections: str,
        ) -> tuple[Any, str]:
            return (_STAND_IN if key in fields else None), ".".join((*sections, key))

    providers = Container()[PluggableRunContext].providers.providers
    stand_ins = StandIns()
    # The last that is asked.
    providers.append(stand_ins)
    try:
        yield
    finally:
        providers.remove(stand_ins)


def _refuse_arguments(factory: Callable[..., Any], what: str) -> None:
    """Refuse a function that cannot be called as it is."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return
    wanted = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if wanted:
        raise InvalidInput(
            f"{what} got the function {_name(factory)!r} as dlt_source, which wants arguments: "
            f"{', '.join(wanted)}.",
            remedy=f"Give them: dlt_source=functools.partial({_name(factory)}, {wanted[0]}=...), or "
            f"dlt_source={_name(factory)}({wanted[0]}=...) to make the source at once.",
        )


def _identity(source: object, pipeline: object, name: str | None) -> str:
    """The same text in all processes that load these definitions, and no other's."""
    by = getattr(pipeline, "pipeline_name", None) or _name(pipeline)
    made = _name(source) if is_factory(source) else str(getattr(source, "name", source))
    return ".".join(part for part in (made, by, name) if part)


def _name(given: object) -> str:
    if isinstance(given, functools.partial):
        return f"{_name(given.func)}-{_digest((given.args, given.keywords))}"
    function = inspect.unwrap(given) if inspect.isroutine(given) else given
    module = getattr(function, "__module__", None)
    name = str(getattr(given, "__qualname__", None) or type(given).__name__)
    code = getattr(function, "__code__", None)
    # Functions within functions may have one name.
    line = f"-{code.co_firstlineno}" if code and name.endswith(">") else ""
    return f"{module}.{name}{line}" if module and module != "__main__" else f"{name}{line}"


def _digest(arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> str:
    """Tells arguments apart, and does not tell what they are: one may be a secret."""
    plain = [repr(each) for each in arguments[0] if isinstance(each, _PLAIN)]
    plain += [f"{k}={v!r}" for k, v in sorted(arguments[1].items()) if isinstance(v, _PLAIN)]
    return hashlib.sha256(repr(plain).encode()).hexdigest()[:8]
