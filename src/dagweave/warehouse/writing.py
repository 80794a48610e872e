"""One write of rows to a table: from the plan to the statements, and to the receipt."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.clock import SYSTEM_CLOCK
from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse import statements
from dagweave.warehouse.arrow import checked_stream, pyarrow, renamed, zone_of
from dagweave.warehouse.capabilities import Feature
from dagweave.warehouse.columns import Column, checked, difference, fits, require_names, storable
from dagweave.warehouse.engine import Loader, Staged
from dagweave.warehouse.evolution import Kept, kept, require_keys
from dagweave.warehouse.plan import Mode, Outside, Receipt, SchemaPolicy
from dagweave.warehouse.sql import Sql
from dagweave.warehouse.store import Query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagweave.warehouse.arrow import CountedStream, Schema, Stream
    from dagweave.warehouse.engine import Batch, Engine, Told
    from dagweave.warehouse.plan import WritePlan
    from dagweave.warehouse.slices import Condition
    from dagweave.warehouse.tables import Tables
    from dagweave.weaving.table_ref import TableRef

ZONE_NOTE: Final = "time zone: "
"""What begins a column's comment that says in which time zone its times were written.

Engines keep an instant, and not its zone."""

_UTC: Final = frozenset({"UTC", "Etc/UTC", "Z", "+00:00"})


@dataclass(frozen=True, slots=True)
class _Intent:
    """What is to be done, decided before any data is touched.

    `stays` is how the table that is there stays; `None` if it is made (anew).
    """

    before: tuple[Column, ...] | None
    columns: tuple[Column, ...]
    names: Mapping[str, str]
    """For each column of the rows: what the table calls it."""
    stays: Kept | None
    lost: Sequence[str]
    zones: Mapping[str, str]

    @property
    def noted(self) -> Mapping[str, str]:
        """The zones, by what the table calls its columns."""
        return {self.names[name]: zone for name, zone in self.zones.items()}


@dataclass(slots=True)
class _Done:
    """The places, in what a batch told, of the statements that count."""

    deleted: Sequence[int] = ()
    updated: Sequence[int] = ()
    inserted: Sequence[int] = ()


@dataclass(slots=True)
class Writing:
    """A write under way."""

    tables: Tables
    plan: WritePlan

    def of(self, rows: Stream | Query) -> Receipt:
        """Write the rows.

        Raises:
            SchemaMismatch: They do not fit. No data was touched.
            InvalidInput: They cannot be stored so.
        """
        engine, plan = self._engine, self.plan
        start = SYSTEM_CLOCK.monotonic()
        engine.keep_time_in(plan.slice)
        before = engine.describe(plan.table)
        if before is None:
            engine.create_schema(plan.table)
        if before is not None and plan.mode is Mode.CREATE_ONLY:
            return Receipt(before, "", 0, skipped="The table is there already.")
        if self._is_booked():
            return Receipt(before or (), "", 0, skipped="An earlier attempt has added the rows.")
        if isinstance(rows, Query):
            receipt = self._of_query(rows, before)
        else:
            receipt = self._of_stream(rows, before)
        return replace(receipt, seconds=SYSTEM_CLOCK.monotonic() - start)

    @property
    def _engine(self) -> Engine:
        return self.tables.engine

    def _of_stream(self, stream: Stream, before: tuple[Column, ...] | None) -> Receipt:
        engine, plan = self._engine, self.plan
        fold = engine.dialect.fold
        require_names(stream.schema, fold)
        schema = storable(stream.schema, before or (), fold)
        stored = engine.as_stored(schema)
        intent = self._intent(schema, stored, before)
        if intent.stays:
            asked = checked if engine.dialect.casts else as_the_table
            schema = asked(schema, stored, intent.columns, fold)
        counted = checked_stream(stream, schema, what=str(plan))
        if plan.mode is Mode.SKIP_IF_EMPTY and counted.is_empty():
            return Receipt(before or (), "", 0, skipped="The frame has no rows.")
        if isinstance(engine, Loader) and self._is_whole:
            receipt = self._loaded(engine, intent, counted)
        else:
            with engine.staged(counted.stream, plan.table, again=self._reads_twice) as staged:
                receipt = self._carried_out(staged, intent, counted)
        return replace(receipt, bytes=counted.bytes)

    @property
    def _is_whole(self) -> bool:
        """Whether the table will hold the rows of the frame, and no others."""
        plan = self.plan
        return plan.replaces_all or (plan.mode is Mode.CREATE_ONLY and plan.slice is None)

    def _loaded(self, loader: Loader, intent: _Intent, counted: CountedStream) -> Receipt:
        told = loader.load(
            renamed(counted.stream, intent.names),
            self.plan.table,
            intent.columns,
            intent.noted,
            replace=self.plan.replaces_all,
        )
        return self._receipt(told, _Done(inserted=[0]), intent, 0, counted)

    @property
    def _reads_twice(self) -> bool:
        plan = self.plan
        if plan.mode is Mode.MERGE:
            return True
        return plan.slice is not None and (plan.mode is Mode.APPEND or plan.outside is Outside.DROP)

    def _of_query(self, query: Query, before: tuple[Column, ...] | None) -> Receipt:
        schema = self._engine.schema_of(Sql.of(query.sql))
        require_names(schema, self._engine.dialect.fold)
        intent = self._intent(schema, self._engine.as_stored(schema), before)
        return self._carried_out(Staged(f"({query.sql}) AS query", again=True), intent, None)

    def _intent(
        self, schema: Schema, stored: tuple[Column, ...], before: tuple[Column, ...] | None
    ) -> _Intent:
        zones = noted_zones(schema)
        stays, declared = None, ()
        if before is not None:
            stays, declared = self._kept(stored, before, zones)
        columns = stays.columns if stays else stored
        fold = self._engine.dialect.fold
        spelt = {fold(column.name): column.name for column in columns}
        names = {name: spelt[fold(name)] for name in schema.names}
        return _Intent(before, columns, names, stays, () if stays else declared, zones)

    def _kept(
        self, stored: Sequence[Column], table: tuple[Column, ...], zones: Mapping[str, str]
    ) -> tuple[Kept | None, Sequence[str]]:
        engine, plan = self._engine, self.plan
        guessed: Mapping[str, Column] = {}
        if not plan.replaces_all or plan.policy not in {None, SchemaPolicy.REPLACE}:
            guessed = self._guessed(stored, table)
        declared = engine.declared(plan.table) if plan.replaces_all else ()
        whole = plan.replaces_all and plan.policy in {None, SchemaPolicy.REPLACE}
        fold = engine.dialect.fold
        noted = {fold(name): zone for name, zone in zones.items()}
        stays = kept(
            plan,
            stored,
            tuple(guessed.get(column.name, column) for column in table),
            engine.dialect,
            same_zones=not whole
            or noted == {fold(name): zone for name, zone in engine.zones(plan.table).items()},
            declared=declared,
        )
        if stays is not None and guessed:
            stays = replace(stays, retyped=tuple(guessed.values()))
        return stays, declared

    def _guessed(self, stored: Sequence[Column], table: tuple[Column, ...]) -> Mapping[str, Column]:
        """The columns of text without a value, with the type that they turn out to have.

        A frame whose column was all null, or that had no rows, could not tell.
        """
        engine = self._engine
        fold, quote = engine.dialect.fold, engine.dialect.quote
        incoming = {fold(column.name): column for column in stored}
        found: dict[str, Column] = {}
        for column in table:
            new = incoming.get(fold(column.name))
            is_text = pyarrow().types.is_string(column.arrow)
            if new is None or not is_text or fits(new.arrow, column.arrow):
                continue
            values = Sql.of("SELECT count(", quote(column.name), ") FROM ", self._target)
            if engine.capabilities[Feature.RETYPE] and engine.count(values) == 0:
                found[column.name] = replace(new, name=column.name)
        return found

    @property
    def _target(self) -> str:
        return self._engine.dialect.table(self.plan.table)

    def _carried_out(
        self, staged: Staged, intent: _Intent, counted: CountedStream | None
    ) -> Receipt:
        engine, plan = self._engine, self.plan
        rows = statements.select_as(engine.dialect, staged.source, intent.names)
        outside = 0 if plan.slice is None else None
        if plan.slice is not None and staged.again:
            where = self._condition_on(rows, intent)
            outside = self._outside_of(rows, where, counted)
            if plan.outside is Outside.DROP:
                rows = statements.where(rows, where.sql)
        keys = self._merge_keys(rows, intent) if plan.mode is Mode.MERGE else ()
        with engine.batch() as batch:
            self._change_table(batch, intent)
            done = self._run(batch, rows, keys, intent, strays=self._keeps(outside))
            self._note(batch, intent)
            if outside is None:
                outside = self._outside_after(batch, done, intent)
        return self._receipt(batch.told, done, intent, outside, counted)

    def _condition_on(self, rows: Sql, intent: _Intent) -> Condition:
        source = statements.in_brackets(rows, "incoming")
        return self.tables.condition(self.plan.table, self.plan.slice, intent.columns, source)

    def _outside_of(self, rows: Sql, where: Condition, counted: CountedStream | None) -> int:
        """Count the rows that the slice does not have, though they are meant for it."""
        source = statements.in_brackets(rows, "incoming")
        total = counted.rows if counted else self._engine.count(statements.count(source))
        inside = self._engine.count(statements.count(source, where.sql)) if total else 0
        self._judge(total - inside, total, where)
        return total - inside

    def _outside_after(self, batch: Batch, done: _Done, intent: _Intent) -> int:
        """The same, of rows that could be read only once, and are in the table by now."""
        written = _sum(batch.told, done.inserted) or 0
        if not written:
            return 0
        where = self.tables.condition(self.plan.table, self.plan.slice, intent.columns)
        inside = self._engine.count(statements.count(self._target, where.sql))
        self._judge(written - inside, written, where)
        return written - inside

    def _judge(self, outside: int, rows: int, where: Condition) -> None:
        slice_ = self.plan.slice
        if not outside or slice_ is None or self.plan.outside is Outside.DROP:
            return
        if where.wall_clock:
            raise _another_clock(self.plan, slice_.time_zone, slice_.expressions, outside, rows)
        if self.plan.outside is Outside.REFUSE:
            raise InvalidInput(
                f"{self.plan} was not written: {outside} of {rows} rows do not belong to it.",
                seen=f"By partition_expr {', '.join(slice_.expressions)}; rows_outside is 'refuse'.",
                remedy="Filter them out before you return the frame, or say rows_outside: drop.",
            )

    def _merge_keys(self, rows: Sql, intent: _Intent) -> tuple[str, ...]:
        engine = self._engine
        found = require_keys(self.plan, tuple(intent.names), engine.dialect.fold)
        keys = tuple(intent.names[name] for name in found)
        doubled = engine.stream(statements.doubled(engine.dialect, rows, keys)).read_all()
        if doubled.num_rows:
            raise InvalidInput(
                f"{self.plan} was not written: several rows of the frame have the same keys.",
                seen="\n".join(str(row) for row in doubled.to_pylist()),
                remedy=f"Keep one row for each {', '.join(keys)}, or merge by more columns.",
            )
        return keys

    def _change_table(self, batch: Batch, intent: _Intent) -> None:
        dialect, table = self._engine.dialect, self.plan.table
        if intent.stays is None:
            if self._creates_first:
                types = {column.name: column.type for column in intent.columns}
                batch.run(statements.create_empty(dialect, table, types))
            return
        for column in intent.stays.retyped:
            for each in statements.retype(dialect, table, column.name, column.type):
                batch.run(each)
        if intent.stays.widened:
            for statement in statements.prepare_widening(dialect, table):
                batch.run(statement)
        for column in intent.stays.widened:
            batch.run(statements.alter_type(dialect, table, column.name, column.type))
        for column in intent.stays.added:
            batch.run(statements.add_column(dialect, table, column.name, column.type))

    def _keeps(self, outside: int | None) -> bool:
        """Whether rows are written that the slice does not have; of rows read once, it may be."""
        return outside != 0 and self.plan.outside is not Outside.DROP

    @property
    def _creates_first(self) -> bool:
        adds = self.plan.slice is not None or self.plan.mode in {Mode.APPEND, Mode.MERGE}
        return self._engine.dialect.creates_first and adds

    def _run(
        self, batch: Batch, rows: Sql, keys: tuple[str, ...], intent: _Intent, *, strays: bool
    ) -> _Done:
        dialect, plan = self._engine.dialect, self.plan
        columns = tuple(intent.names.values())
        if intent.stays is None and not self._creates_first:
            anew = intent.before is not None
            create = statements.create_as(dialect, plan.table, columns, rows, replace=anew)
            return _Done(inserted=[batch.run(create)])
        where = self._condition(intent, rows)
        if plan.mode is Mode.APPEND:
            return _Done(
                inserted=[batch.run(statements.insert(dialect, plan.table, columns, rows))]
            )
        if plan.mode is Mode.MERGE:
            gone = where.sql if plan.delete_unmatched else None
            found = statements.merge(dialect, plan.table, columns, rows, keys, delete_where=gone)
            return _placed_merge([batch.run(each) for each in found], deletes=gone is not None)
        if plan.slice is None:
            found = statements.overwrite(dialect, plan.table, columns, rows)
        else:
            every = intent.columns
            found = statements.replace_where(
                dialect, plan.table, columns, rows, where.sql, every=every, strays=strays
            )
        *deleted, inserted = [batch.run(each) for each in found]
        return _Done(deleted=deleted, inserted=[inserted])

    def _condition(self, intent: _Intent, rows: Sql | None = None) -> Condition:
        if intent.before is None and rows is not None:
            # The table may be made with the batch, and not be there to be asked.
            return self._condition_on(rows, intent)
        columns = intent.before or intent.columns
        return self.tables.condition(self.plan.table, self.plan.slice, columns)

    def _note(self, batch: Batch, intent: _Intent) -> None:
        """Note, with the rows, what is to be known of them later."""
        dialect, table = self._engine.dialect, self.plan.table
        if intent.stays is None:
            for column, zone in intent.noted.items():
                batch.run(statements.comment(dialect, table, column, ZONE_NOTE + zone))
        if self.plan.mode is Mode.APPEND and self.plan.once:
            batch.run(self._entry())

    def _is_booked(self) -> bool:
        """Whether an attempt of this append has been carried out."""
        plan, engine = self.plan, self._engine
        if plan.mode is not Mode.APPEND or not plan.once:
            return False
        book = self._book
        if engine.describe(book) is None:
            with engine.batch() as batch:
                batch.run(statements.create_book(engine.dialect, book))
            return False
        own, *earlier = plan.once
        if self._is_in(book, [own]):
            return True
        if not earlier or not self._is_in(book, earlier):
            return False
        # Whoever takes up this run knows this run's name alone.
        with engine.batch() as batch:
            batch.run(self._entry())
        return True

    def _is_in(self, book: TableRef, writes: Sequence[str]) -> bool:
        dialect, table = self._engine.dialect, self.plan.table
        return self._engine.count(statements.booked(dialect, book, table.name, writes)) > 0

    def _entry(self) -> Sql:
        table = self.plan.table
        at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        return statements.book(self._engine.dialect, self._book, table.name, self.plan.once[0], at)

    @property
    def _book(self) -> TableRef:
        return replace(self.plan.table, name=self._engine.dialect.fold(statements.BOOK))

    def _receipt(
        self,
        told: Told,
        done: _Done,
        intent: _Intent,
        outside: int,
        counted: CountedStream | None,
    ) -> Receipt:
        plan = self.plan
        inserted, updated = _sum(told, done.inserted), _sum(told, done.updated)
        deleted = _sum(told, done.deleted)
        for merged in (told.merged[place] for place in done.inserted if place in told.merged):
            updated, deleted = (updated or 0) + merged.updated, (deleted or 0) + merged.deleted
        if inserted is None and counted is not None:
            inserted = counted.rows - (outside if plan.outside is Outside.DROP else 0)
        elif inserted is None:
            found = statements.count(self._target, self._condition(intent).sql)
            inserted = self._engine.count(found)
        after = intent.columns
        if intent.stays is None:
            after = self._engine.describe(plan.table) or after
        changed = difference(intent.before or after, after, self._engine.dialect, intent.lost)
        return Receipt(
            after,
            "",
            inserted + (updated or 0),
            rows_deleted=deleted if intent.stays else None,
            rows_updated=updated if plan.mode is Mode.MERGE else None,
            rows_outside=outside,
            difference=changed,
            statements=len(told.rows),
            query_ids=tuple(told.query_ids),
            url=told.url,
        )


def _placed_merge(places: list[int], *, deletes: bool) -> _Done:
    if len(places) == 1:
        return _Done(inserted=places)
    deleted = places[:1] if deletes else []
    return _Done(deleted=deleted, updated=places[len(deleted) : -1], inserted=places[-1:])


def _sum(told: Told, places: Sequence[int]) -> int | None:
    counts = [told.rows[place] for place in places]
    return None if not counts or any(each is None for each in counts) else sum(filter(None, counts))


def as_the_table(
    frame: Schema,
    stored: Sequence[Column],  # noqa: ARG001 -- as `checked`, which it stands in for
    table: Sequence[Column],
    fold: Any,
) -> Schema:
    """The frame's columns in the types of the table's, for an engine that casts nothing itself.

    What holds others, and is text in the table (JSON), stays as it is: the engine writes it so.
    """
    types = {fold(column.name): column.arrow for column in table}
    nested = pyarrow().types.is_nested

    def as_there(field: Any) -> Any:
        type_ = types[fold(field.name)]
        return field if nested(field.type) and not nested(type_) else field.with_type(type_)

    return pyarrow().schema([as_there(field) for field in frame])


def noted_zones(frame: Schema) -> dict[str, str]:
    """The time zones of a frame's columns that are worth a note."""
    zones = {field.name: zone_of(field.type) for field in frame}
    return {name: zone for name, zone in zones.items() if zone and zone not in _UTC}


def _another_clock(
    plan: WritePlan, zone: str, expressions: Sequence[str], outside: int, rows: int
) -> InvalidInput:
    listed = ", ".join(expressions)
    return InvalidInput(
        f"{plan} was not written: {outside} of {rows} rows lie outside its time window.",
        seen=f"{listed} has no time zone, so it was compared with the wall clock of {zone}. Rows "
        "in UTC would take the place of another partition's.",
        remedy=f"If it is in UTC, say so: partition_expr=\"{listed} AT TIME ZONE 'UTC'\". "
        "Better, store it with a time zone. If rows are of another partition, filter them out "
        "before you return the frame.",
    )
