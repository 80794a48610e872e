"""Turn what assets return into Arrow streams, and streams into what assets ask for.

A library of frames is found by the name of its class, so that none is imported that the user has
not imported already.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave._kernel.extras import require
from dagweave.warehouse.arrow import leaves, pyarrow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    import polars as pl

    from dagweave.warehouse.arrow import Schema, Stream
    from dagweave.warehouse.store import Source


class Exporter(Protocol):
    """One kind of frame that can be written."""

    def to_stream(self, frame: Any) -> Stream:
        """The frame's columns as Arrow, copied no more than its library must."""
        ...

    def columns(self, frame: Any) -> list[tuple[str, str]]:
        """Name and type of each column, in the words of its library."""
        ...


class FrontEnd(Exporter, Protocol):
    """One kind of frame that can be written and asked for."""

    def type(self) -> type[Any]:
        """The class of its frames. Imports the library."""
        ...

    def from_source(self, source: Source) -> Any:
        """A frame of the source's rows."""
        ...

    def empty(self) -> Any:
        """A frame without rows or columns."""
        ...


class EagerFrontEnd(FrontEnd, Protocol):
    """One kind of frame that holds all its rows."""

    def from_stream(self, stream: Stream) -> Any:
        """A frame of all rows of the stream."""
        ...


class PandasFrames:
    """`pandas.DataFrame`. Its index is not a column, and is not stored."""

    def type(self) -> type[pd.DataFrame]:
        """The class of its frames."""
        return _library("pandas").DataFrame

    def to_stream(self, frame: pd.DataFrame) -> Stream:
        """The frame's columns as Arrow.

        Raises:
            InvalidInput: A column holds values of several types.
        """
        pa = pyarrow()
        try:
            return pa.Table.from_pandas(frame, preserve_index=False).to_reader()
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise InvalidInput(
                "A column of the pandas frame cannot be stored.",
                seen="; ".join(str(part) for part in error.args),
                remedy="Give the column one type, as astype() does, before you return the frame.",
            ) from error

    def columns(self, frame: pd.DataFrame) -> list[tuple[str, str]]:
        """Name and type of each column."""
        return [(str(name), str(dtype)) for name, dtype in frame.dtypes.items()]

    def from_source(self, source: Source) -> pd.DataFrame:
        """A frame of the source's rows."""
        with source.open() as stream:
            return self.from_stream(stream)

    def from_stream(self, stream: Stream) -> pd.DataFrame:
        """A frame of all rows of the stream."""
        pa = pyarrow()
        table = _integers(stream.read_all())
        schema = table.schema
        try:
            return table.to_pandas(split_blocks=True, self_destruct=True)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise _cannot_hold("pandas", [f"{f.name} ({f.type})" for f in schema], error) from error

    def empty(self) -> pd.DataFrame:
        """A frame without rows or columns."""
        return self.type()()


class PolarsFrames:
    """`polars.DataFrame`."""

    def type(self) -> type[pl.DataFrame]:
        """The class of its frames."""
        return _library("polars").DataFrame

    def to_stream(self, frame: pl.DataFrame) -> Stream:
        """The frame's columns as Arrow.

        Raises:
            InvalidInput: A column holds Python objects, or what Arrow has no type for.
        """
        columns = self.columns(frame)
        # Polars would export their addresses.
        if objects := [name for name, dtype in columns if dtype == "Object"]:
            raise InvalidInput(
                f"Columns of Python objects cannot be stored: {', '.join(objects)}.",
                remedy="Convert them to a type of Polars before you return the frame.",
            )
        return _imported(frame, columns)

    def columns(self, frame: pl.DataFrame) -> list[tuple[str, str]]:
        """Name and type of each column."""
        return [(name, str(dtype)) for name, dtype in frame.schema.items()]

    def from_source(self, source: Source) -> pl.DataFrame:
        """A frame of the source's rows."""
        with source.open() as stream:
            return self.from_stream(stream)

    def from_stream(self, stream: Stream) -> pl.DataFrame:
        """A frame of all rows of the stream."""
        return _polars(stream.read_all())

    def empty(self) -> pl.DataFrame:
        """A frame without rows or columns."""
        return self.type()()


class PolarsLazyFrames:
    """`polars.LazyFrame`. It reads when it is collected, and only the columns that are used."""

    def type(self) -> type[pl.LazyFrame]:
        """The class of its frames."""
        return _library("polars").LazyFrame

    def to_stream(self, frame: pl.LazyFrame) -> Stream:
        """Collect the frame, and give its columns as Arrow."""
        return PolarsFrames().to_stream(frame.collect())

    def columns(self, frame: pl.LazyFrame) -> list[tuple[str, str]]:
        """Name and type of each column."""
        return [(name, str(dtype)) for name, dtype in frame.collect_schema().items()]

    def from_source(self, source: Source) -> pl.LazyFrame:
        """A frame that reads the source's rows when it is collected."""
        from polars.io.plugins import register_io_source

        def batches(
            with_columns: list[str] | None,
            predicate: pl.Expr | None,
            n_rows: int | None,
            batch_size: int | None,  # noqa: ARG001 -- Polars passes it by position; a hint only
        ) -> Iterator[pl.DataFrame]:
            left = n_rows
            chosen = source.select(with_columns) if with_columns else source
            with chosen.open(shared=True) as stream:
                for batch in stream:
                    frame = _polars(batch)
                    if left is not None:
                        frame = frame.head(left)
                        left -= frame.height
                    yield frame if predicate is None else frame.filter(predicate)
                    if left == 0:
                        return

        schema = source.schema()
        _require_polars_types(schema)
        return register_io_source(batches, schema=_polars(schema.empty_table()).schema)

    def empty(self) -> pl.LazyFrame:
        """A frame without rows or columns."""
        return self.type()()


class ArrowTables:
    """`pyarrow.Table`."""

    def type(self) -> type[Any]:
        """The class of its frames."""
        return pyarrow().Table

    def to_stream(self, frame: Any) -> Stream:
        """The table as a stream."""
        return frame.to_reader()

    def columns(self, frame: Any) -> list[tuple[str, str]]:
        """Name and type of each column."""
        return [(field.name, str(field.type)) for field in frame.schema]

    def from_source(self, source: Source) -> Any:
        """A table of the source's rows."""
        with source.open() as stream:
            return self.from_stream(stream)

    def from_stream(self, stream: Stream) -> Any:
        """A table of all rows of the stream."""
        return stream.read_all()

    def empty(self) -> Any:
        """A table without rows or columns."""
        return pyarrow().table({})


class ArrowStreams:
    """`pyarrow.RecordBatchReader`: rows pass by in batches, and are never all in memory."""

    def type(self) -> type[Any]:
        """The class of its frames."""
        return pyarrow().RecordBatchReader

    def to_stream(self, frame: Any) -> Stream:
        """The stream itself."""
        return frame

    def columns(self, frame: Any) -> list[tuple[str, str]]:
        """Name and type of each column."""
        return [(field.name, str(field.type)) for field in frame.schema]

    def from_source(self, source: Source) -> Any:
        """A stream that starts to read, and to hold a connection, when its first batch is taken."""

        def batches() -> Iterator[Any]:
            with source.open(shared=True) as stream:
                yield from stream

        return pyarrow().RecordBatchReader.from_batches(source.schema(), batches())

    def empty(self) -> Any:
        """A stream without rows or columns."""
        return pyarrow().table({}).to_reader()


class DuckDBRelations:
    """`duckdb.DuckDBPyRelation`: a query of DuckDB's own, over rows of any warehouse."""

    def type(self) -> type[Any]:
        """The class of its frames."""
        return _library("duckdb").DuckDBPyRelation

    def to_stream(self, frame: Any) -> Stream:
        """What the query gives, as it runs."""
        return _imported(frame, self.columns(frame))

    def columns(self, frame: Any) -> list[tuple[str, str]]:
        """Name and type of each column; nothing if its connection is closed, which `to_stream` tells."""
        try:
            return [
                (name, str(type_)) for name, type_ in zip(frame.columns, frame.types, strict=True)
            ]
        except _library("duckdb").ConnectionException:
            return []

    def from_source(self, source: Source) -> Any:
        """A relation over the source's rows, in memory: DuckDB may go over them more than once."""
        with source.open() as stream:
            return _library("duckdb").from_arrow(stream.read_all())

    def empty(self) -> Any:
        """A relation without rows; DuckDB has none without columns."""
        return _library("duckdb").sql("SELECT 1 AS nothing WHERE FALSE")


class ArrowExporters:
    """Whatever exports an Arrow stream (`__arrow_c_stream__`). Can be written, not asked for."""

    def to_stream(self, frame: Any) -> Stream:
        """The stream that it exports.

        Raises:
            InvalidInput: It exports none, or of types that Arrow does not know.
        """
        return _imported(frame, [])

    def columns(self, frame: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Nothing: to look at its columns may use it up."""
        return []


_BY_CLASS: dict[tuple[str, str], FrontEnd] = {
    ("pandas", "DataFrame"): PandasFrames(),
    ("polars", "DataFrame"): PolarsFrames(),
    ("polars", "LazyFrame"): PolarsLazyFrames(),
    ("duckdb", "DuckDBPyRelation"): DuckDBRelations(),
    ("_duckdb", "DuckDBPyRelation"): DuckDBRelations(),
    ("pyarrow", "Table"): ArrowTables(),
    ("pyarrow", "RecordBatchReader"): ArrowStreams(),
}

READABLE_TYPES = tuple(".".join(names) for names in _BY_CLASS if not names[0].startswith("_"))
"""What an input may be annotated with, for errors and documents."""


def front_end_of(type_: object) -> FrontEnd | None:
    """The front end for a class or one that it derives from; `None` if there is none."""
    for each in getattr(type_, "__mro__", ()):
        if known := _BY_CLASS.get((each.__module__.partition(".")[0], each.__qualname__)):
            return known
    return None


def exporter_of(type_: object) -> Exporter | None:
    """What writes objects of a class; `None` if they are no frames at all."""
    known = front_end_of(type_)
    if known is None and hasattr(type_, "__arrow_c_stream__"):
        return ArrowExporters()
    return known


def _imported(frame: Any, columns: Sequence[tuple[str, str]]) -> Stream:
    """The Arrow stream that a frame exports."""
    pa = pyarrow()
    try:
        return pa.RecordBatchReader.from_stream(frame)
    except DagweaveError:
        raise
    except Exception as error:  # whatever exports a stream raises what it likes
        listed = ", ".join(f"{name} ({dtype})" for name, dtype in columns)
        raise InvalidInput(
            f"The {type(frame).__name__} cannot be read as Arrow.",
            seen=f"{error}\n{listed}",
            remedy="Convert a column of an unusual type before you return the frame. What is only "
            "evaluated now, as a relation of DuckDB is, needs its connection and its data still.",
        ) from error


def _polars(rows: Any) -> pl.DataFrame:
    """A table or batch of Arrow's as a frame."""
    _require_polars_types(rows.schema)
    return _library("polars").from_arrow(rows)


def _require_polars_types(schema: Schema) -> None:
    types = pyarrow().types
    foreign = [
        f"{field.name} ({field.type})"
        for field in schema
        # Polars panics at some of them, and prints a page.
        if any(types.is_interval(leaf) or types.is_union(leaf) for leaf in leaves(field.type))
    ]
    if foreign:
        raise _cannot_hold("Polars", foreign)


def _cannot_hold(library: str, columns: Sequence[str], error: Exception | None = None) -> Exception:
    return InvalidInput(
        f"A frame of {library} cannot hold what the table has.",
        seen=f"{error or ''}\n{', '.join(columns)}",
        remedy="Leave the column out (the 'columns' in the metadata of the input), or annotate the "
        "input as pyarrow.Table.",
    )


def _library(name: str) -> Any:
    return require(name, extra=name, what=f"A {name} frame")


def _integers(table: Any) -> Any:
    """Give pandas the integers that an engine hands over as 38 digits, such as DuckDB's sums.

    pandas has no such decimals but as Python objects, which values beyond 64 bits stay.
    """
    pa = pyarrow()
    for at, field in enumerate(table.schema):
        if not pa.types.is_decimal(field.type) or field.type.scale or field.type.precision < 38:
            continue
        with contextlib.suppress(pa.ArrowInvalid):
            table = table.set_column(at, field.name, table.column(at).cast(pa.int64()))
    return table
