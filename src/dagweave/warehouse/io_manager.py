"""The I/O manager of every warehouse: from Dagster's contexts to a plan, from a plan to a store."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from dagster import InputContext, IOManager, OutputContext

from dagweave._dagster.failures import failures
from dagweave._dagster.metadata import STORAGE_KIND
from dagweave._dagster.private import attempts_of_output
from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse.frames import (
    READABLE_TYPES,
    Exporter,
    FrontEnd,
    exporter_of,
    front_end_of,
)
from dagweave.warehouse.handlers import receipt_metadata, report, table_slice_of
from dagweave.warehouse.locate import asset_table, op_output_table, plain
from dagweave.warehouse.partitions import input_slice, output_slice
from dagweave.warehouse.plan import ReadPlan, Receipt, WritePlan
from dagweave.warehouse.store import Query, Source
from dagweave.warehouse.ways import Way

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagweave._dagster.private import DbTypeHandler
    from dagweave.warehouse.store import TableStore
    from dagweave.weaving.table_ref import TableRef


@dataclass
class WarehouseIOManager(IOManager):
    """Writes what assets return to tables, and loads tables as what assets ask for.

    Args:
        name: What the I/O manager is called in errors.
        store: Where the tables are.
        schema: The schema of tables whose asset names none.
        handlers: The handlers of types. Types that none of them handles and that are frames are
            written and loaded all the same.
        default_load_type: What an input without annotation is loaded as; `None` takes the only
            type of the only handler.
        way: How outputs are written whose metadata does not say it.
    """

    name: str
    store: TableStore
    schema: str | None = None
    handlers: Sequence[DbTypeHandler[Any]] = ()
    default_load_type: type[Any] | None = None
    way: Way = field(default_factory=Way)
    _own: dict[type[Any], DbTypeHandler[Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Note which type is whose.

        Raises:
            InvalidInput: Two handlers handle one type.
        """
        self._own = {}
        handled: dict[type[Any], DbTypeHandler[Any]] = {}
        for handler in self.handlers:
            for type_ in handler.supported_types:
                if type_ in handled:
                    raise InvalidInput(
                        f"{self.name} has two handlers for type {type_}.",
                        seen=f"They are {type(handled[type_])} and {type(handler)}.",
                        remedy="Leave one of them out of type_handlers().",
                    )
                handled[type_] = handler
                if not getattr(handler, "as_the_store_does", False):
                    self._own[type_] = handler
        if self.default_load_type is None and len(handled) == 1:
            (self.default_load_type,) = handled

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Write an output: the whole table, or the slice of the run's partitions.

        Raises:
            dagster.Failure: It was not written; nothing was changed.
        """
        with failures():
            if obj is None:
                raise InvalidInput(
                    f"{_output(context)} is None, which cannot be stored as a table.",
                    remedy="Return a frame; or annotate the function with '-> None', if there is "
                    "nothing to store.",
                )
            plan = self._write_plan(context)
            type_ = cast("type[Any]", type(obj))
            if isinstance(obj, Query):
                metadata = self._written(context, plan, self.store.write(plan, obj), [])
            elif handler := self._handler_of(type_):
                metadata = self._write_by_handler(context, plan, handler, obj)
            elif exporter := exporter_of(type_):
                metadata = self._write_frame(context, plan, exporter, obj)
            else:
                raise self._unknown(type_, "Return")
            metadata |= {**plan.table.to_metadata(), STORAGE_KIND: self.store.dialect.kind}
            known = context.get_logged_metadata()
            context.add_output_metadata({k: v for k, v in metadata.items() if k not in known})

    def load_input(self, context: InputContext) -> Any:
        """Load an input: the whole table, or the slice that the step's partitions map to.

        Raises:
            dagster.Failure: There is no such table or column, or it could not be read.
        """
        with failures():
            upstream = _upstream_metadata(context)
            plan = ReadPlan(
                self.store.locate(self._input_table(context, upstream)),
                _columns(context),
                input_slice(context, upstream),
            )
            load_type: Any = context.dagster_type.typing_type
            if load_type is Any and self.default_load_type is not None:
                load_type = self.default_load_type
            if load_type is Query:
                with self.store.connected() as session:
                    return Query(session.query(plan))
            if handler := self._handler_of(load_type):
                with self.store.connected() as session:
                    table_slice = table_slice_of(plan.table, plan.slice, plan.columns)
                    return handler.load_input(context, table_slice, session.connection)
            if front_end := front_end_of(load_type):
                return self._load_frame(plan, front_end)
            raise self._unknown(load_type, "Annotate the input with")

    def _write_plan(self, context: OutputContext) -> WritePlan:
        metadata = context.definition_metadata
        kind = self.store.dialect.kind
        if context.has_asset_key:
            table = asset_table(context.asset_key.path, metadata, kind=kind, schema=self.schema)
            plan = WritePlan(self.store.locate(table), output_slice(context, metadata))
        else:
            table = op_output_table(context.name, metadata, kind=kind, schema=self.schema)
            plan = WritePlan(self.store.locate(table))
        what = _output(context)
        way = Way.of(context.output_metadata, where=what).over(Way.of(metadata, where=what))
        attempts = attempts_of_output(context)
        planned = way.over(self.way).planned(plan, attempts)
        asset = context.asset_key.to_user_string() if context.has_asset_key else context.name
        run = {"run": context.run_id} if attempts else {}
        return replace(planned, labels={"asset": asset, **run})

    def _write_frame(
        self, context: OutputContext, plan: WritePlan, exporter: Exporter, frame: Any
    ) -> dict[str, Any]:
        columns = exporter.columns(frame)
        stream = exporter.to_stream(frame)
        if not stream.schema.names:
            return self._write_nothing(context, plan)
        return self._written(context, plan, self.store.write(plan, stream), columns)

    def _written(
        self,
        context: OutputContext,
        plan: WritePlan,
        receipt: Receipt,
        columns: Sequence[tuple[str, str]],
    ) -> dict[str, Any]:
        report(context, plan, receipt)
        query = {"Query": receipt.query} if receipt.query else {}
        return receipt_metadata(context, receipt, columns) | query

    def _write_nothing(self, context: OutputContext, plan: WritePlan) -> dict[str, Any]:
        context.log.warning(
            "The frame for %s has no columns, as a frame made of no records has none. The rows "
            "that it replaces are deleted; a table that does not exist is not created.",
            plan,
        )
        with self.store.emptied(plan):
            pass
        return receipt_metadata(context, Receipt((), "", 0), [])

    def _write_by_handler(
        self, context: OutputContext, plan: WritePlan, handler: DbTypeHandler[Any], obj: Any
    ) -> dict[str, Any]:
        table_slice = table_slice_of(plan.table, plan.slice)
        with self.store.emptied(plan) as session:
            returned = cast(
                "Mapping[str, Any] | None",
                handler.handle_output(context, table_slice, obj, session.connection),
            )
            query = session.query(ReadPlan(plan.table, slice=plan.slice))
        return {**(returned or {}), "Query": query}

    def _load_frame(self, plan: ReadPlan, front_end: FrontEnd) -> Any:
        no_partitions = plan.slice is not None and plan.slice.is_empty
        if no_partitions and self.store.describe(plan.table) is None:
            return front_end.empty()
        return front_end.from_source(Source(self.store, plan))

    def _input_table(self, context: InputContext, upstream: Mapping[str, Any]) -> TableRef:
        kind = self.store.dialect.kind
        if context.has_asset_key:
            return asset_table(context.asset_key.path, upstream, kind=kind, schema=self.schema)
        if context.upstream_output is None:
            raise InvalidInput(
                f"Input {context.name!r} is of no asset and of no output: which table is it?",
                remedy=f"Make it an asset's input: {self.name} knows a table by its asset.",
            )
        return op_output_table(
            context.upstream_output.name, upstream, kind=kind, schema=self.schema
        )

    def _handler_of(self, type_: Any) -> DbTypeHandler[Any] | None:
        mro = getattr(type_, "__mro__", ())
        return next((self._own[each] for each in mro if each in self._own), None)

    def _unknown(self, type_: object, instead: str) -> InvalidInput:
        known = [
            *(each.__name__ for each in self._own),
            *READABLE_TYPES,
            "dagweave.warehouse.Query",
        ]
        return InvalidInput(
            f"{self.name} does not have a handler for type {type_!r}.",
            seen=f"It has handlers for {', '.join(known)}.",
            remedy=f"{instead} one of these types; or add a DbTypeHandler for yours to "
            "type_handlers().",
        )


def _output(context: OutputContext) -> str:
    if context.has_asset_key:
        return f"The output of asset {context.asset_key.to_user_string()!r}"
    return f"Output {context.name!r}"


def _upstream_metadata(context: InputContext) -> Mapping[str, Any]:
    """What the spec of the loaded asset says; Dagster hands it on, external assets included."""
    return context.upstream_output.definition_metadata if context.upstream_output else {}


def _columns(context: InputContext) -> tuple[str, ...] | None:
    columns: Any = plain(context.definition_metadata.get("columns"))
    if columns is None:
        return None
    if isinstance(columns, str) or not columns:
        raise InvalidInput(
            f"The 'columns' of input {context.name!r} are not a list of names.",
            seen=f"They are {columns!r}.",
            remedy='Write AssetIn(metadata={"columns": ["id", "amount"]}).',
        )
    return tuple(str(column) for column in columns)
