"""Compare the columns of a frame with those of a table, before any data is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagweave._kernel.errors import InvalidInput, SchemaMismatch
from dagweave.warehouse.arrow import DataType, Schema, in_zone, pyarrow, with_leaves, zone_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dagweave.warehouse.sql import Dialect


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its type as the engine writes it, and as Arrow."""

    name: str
    type: str
    arrow: DataType


@dataclass(frozen=True, slots=True)
class Changed:
    """A column whose type is another than it was, or than it should be."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """What sets one list of columns apart from another, the order aside.

    `lost` are the constraints and indexes that went with the table that was replaced.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[Changed, ...] = ()
    lost: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any difference."""
        return bool(self.added or self.removed or self.changed or self.lost)

    def to_metadata(self) -> dict[str, Any]:
        """The difference as JSON for an asset's metadata."""
        found: dict[str, Any] = {
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": {each.name: f"{each.before} → {each.after}" for each in self.changed},
        }
        return {**found, "lost": list(self.lost)} if self.lost else found


def difference(
    before: Sequence[Column],
    after: Sequence[Column],
    dialect: Dialect,
    lost: Sequence[str] = (),
) -> SchemaDifference:
    """What a table gained, lost and changed when it was written."""
    fold, shown = dialect.fold, dialect.shown
    old = {fold(column.name): column for column in before}
    new = {fold(column.name): column for column in after}
    return SchemaDifference(
        added=tuple(shown(column.name) for name, column in new.items() if name not in old),
        removed=tuple(shown(column.name) for name, column in old.items() if name not in new),
        changed=tuple(
            Changed(shown(column.name), old[name].type, column.type)
            for name, column in new.items()
            if name in old and old[name].type != column.type
        ),
        lost=tuple(lost),
    )


def require_names(frame: Schema, fold: Callable[[str], str]) -> None:
    """Refuse a frame in which a column has no name, or two have the same one.

    Raises:
        InvalidInput: Names the columns.
    """
    seen: dict[str, str] = {}
    for name in frame.names:
        if not name:
            raise InvalidInput(
                "A column of the frame has no name.",
                seen=f"The columns are {_listed(frame.names)}.",
                remedy="Name every column before you return the frame.",
            )
        if fold(name) in seen:
            raise InvalidInput(
                "Two columns of the frame are one to the warehouse: "
                f"{seen[fold(name)]!r} and {name!r}.",
                remedy="Rename or drop one of them before you return the frame.",
            )
        seen[fold(name)] = name


def require_fit(
    frame: Sequence[Column], table: Sequence[Column], dialect: Dialect, *, what: str
) -> None:
    """Refuse a frame whose columns are not those of the table it goes to.

    The order does not matter. A value that its column cannot hold is found when it is written.

    Args:
        what: What would be written, for the error: `partition 2024-01 of dev.marts.delays`.

    Raises:
        SchemaMismatch: Names what is new, missing and of another type.
    """
    found = misfits(frame, table, dialect)
    if any(found.values()):
        raise mismatch(what=what, found=found)


def mismatch(*, what: str, found: Mapping[str, Sequence[str]]) -> SchemaMismatch:
    """The error that a frame does not fit; says what is wrong with which columns."""
    return SchemaMismatch(
        f"The frame does not fit the table: {what} was not written.",
        seen="\n".join(f"{label}: {', '.join(which)}." for label, which in found.items() if which),
        remedy="Nothing was changed. Give the frame the columns of the table; or let the table take "
        "them (schema_policy add_columns or widen); or drop it and materialize all of it again.",
    )


def misfits(
    frame: Sequence[Column], table: Sequence[Column], dialect: Dialect
) -> dict[str, list[str]]:
    """What keeps a frame from going into a table, under a label for each kind."""
    fold, shown = dialect.fold, dialect.shown
    existing = {fold(column.name): column for column in table}
    incoming = {fold(column.name): column for column in frame}
    return {
        "New in the frame": [
            f"{shown(c.name)} ({c.arrow})" for name, c in incoming.items() if name not in existing
        ],
        "Missing from the frame": [
            f"{shown(c.name)} ({c.arrow})" for name, c in existing.items() if name not in incoming
        ],
        "Of a type that does not fit": [
            f"{shown(c.name)} (the table has {c.arrow}, the frame {incoming[name].arrow})"
            for name, c in existing.items()
            if name in incoming and not fits(incoming[name].arrow, c.arrow)
        ],
    }


def alike(frame: Sequence[Column], table: Sequence[Column]) -> bool:
    """Whether columns are the same in name, order and the values that they hold."""
    return [(c.name, _plain(c.arrow)) for c in frame] == [(c.name, _plain(c.arrow)) for c in table]


def fits(incoming: DataType, existing: DataType) -> bool:
    """Whether values of the incoming type may go into a column of the existing one.

    Integers fit any integer and any number with a fraction; floats fit wider floats; a date fits
    a timestamp; units of time do not matter, the presence of a time zone does; a struct's fields
    are matched by name. What holds no value at all fits everything. Whatever the types leave open,
    such as whether an integer is too large, is asked of each value when it is written: by the
    engine, or, where it would round in silence, by us (`checked`). Nobody asks the values within
    a list, struct or map, so what would be rounded there does not fit.
    """
    a, b = _plain(incoming), _plain(existing)
    types = pyarrow().types
    if a == b or types.is_null(a):
        return True
    if types.is_integer(a):
        return bool(types.is_integer(b) or types.is_floating(b) or types.is_decimal(b))
    if types.is_floating(a):
        return bool(types.is_floating(b) and a.bit_width <= b.bit_width)
    if types.is_decimal(a):
        return bool(types.is_decimal(b) and a.scale <= b.scale)
    return _temporal_fits(a, b) or _nested_fits(a, b)


def _fits_within(a: Any, b: Any) -> bool:
    return fits(a, b) and not _may_be_rounded(_plain(a), _plain(b))


def checked(
    frame: Schema,
    stored: Sequence[Column],
    table: Sequence[Column],
    fold: Callable[[str], str],
) -> Schema:
    """The frame's columns in types to which `converted` must turn them, so that nothing is lost.

    Engines round an integer that a float cannot hold, and a time to the unit of its column,
    without a word. Converted beforehand, such a value is an error.

    Args:
        stored: The columns of a table that the frame would make, in the frame's order. What the
            engine cannot keep there, as nanoseconds, is not asked for here either.
    """
    pa = pyarrow()
    existing = {fold(column.name): column.arrow for column in table}

    def asked(field: Any, kept: Any) -> Any:
        column = existing[fold(field.name)]
        if not _may_be_rounded(_plain(kept), column):
            return field
        # A time keeps its own zone.
        return field.with_type(in_zone(column, zone_of(field.type) or ""))

    return pa.schema([asked(f, c.arrow) for f, c in zip(frame, stored, strict=True)])


def wider(existing: Column, incoming: Column) -> Column | None:
    """The incoming column, if it is wider: it holds all values of the existing one, and more.

    `int64` is wider than `int32`, a float than one with fewer bits or than an integer that it holds,
    a decimal than one with fewer digits, a timestamp than a date.
    """
    a, b = _plain(existing.arrow), _plain(incoming.arrow)
    types = pyarrow().types
    if a == b:
        return None
    if types.is_decimal(a) and types.is_decimal(b):
        whole = a.precision - a.scale <= b.precision - b.scale
        return incoming if whole and a.scale <= b.scale else None
    if types.is_integer(a) and types.is_integer(b) and b.bit_width <= a.bit_width:
        return None
    return incoming if fits(a, b) and not _may_be_rounded(a, b) else None


_UNITS = ("s", "ms", "us", "ns")
_WHOLE_BITS = {16: 11, 32: 24, 64: 53}
"""How many bits of an integer a float of so many bits holds."""


def _may_be_rounded(a: Any, b: Any) -> bool:
    """Whether an engine would round a value of type `a` to one of type `b`."""
    types = pyarrow().types
    if types.is_integer(a) and types.is_floating(b):
        return a.bit_width > _WHOLE_BITS[b.bit_width]
    if types.is_timestamp(a) and types.is_timestamp(b):
        return _UNITS.index(a.unit) > _UNITS.index(b.unit)
    return False


def _temporal_fits(a: Any, b: Any) -> bool:
    types = pyarrow().types
    if types.is_timestamp(a):
        return bool(types.is_timestamp(b) and (a.tz is None) == (b.tz is None))
    if types.is_date(a):
        return bool(types.is_date(b) or (types.is_timestamp(b) and b.tz is None))
    if types.is_duration(a):
        return bool(types.is_duration(b) or types.is_interval(b))
    return bool(types.is_time(a) and types.is_time(b))


def _nested_fits(a: Any, b: Any) -> bool:
    types = pyarrow().types
    if types.is_map(a):
        return (
            types.is_map(b)
            and _fits_within(a.key_type, b.key_type)
            and _fits_within(a.item_type, b.item_type)
        )
    if types.is_struct(a):
        return (
            types.is_struct(b)
            and {field.name for field in a} == {field.name for field in b}
            and all(_fits_within(field.type, b.field(field.name).type) for field in a)
        )
    if _is_list(a) and _is_list(b):
        fixed = types.is_fixed_size_list(b)
        if fixed and not (types.is_fixed_size_list(a) and a.list_size == b.list_size):
            return False
        return _fits_within(a.value_type, b.value_type)
    return False


def _is_list(type_: Any) -> bool:
    types = pyarrow().types
    tests = (types.is_list, types.is_large_list, types.is_list_view, types.is_fixed_size_list)
    return any(test(type_) for test in tests)


def _plain(type_: Any) -> Any:
    """The type that holds the same values, whatever way Arrow lays them out."""
    pa = pyarrow()
    types = pa.types
    if isinstance(type_, pa.BaseExtensionType):
        return _plain(type_.storage_type)
    if types.is_dictionary(type_):
        return _plain(type_.value_type)
    if types.is_large_string(type_) or types.is_string_view(type_):
        return pa.string()
    if (
        types.is_large_binary(type_)
        or types.is_binary_view(type_)
        or types.is_fixed_size_binary(type_)
    ):
        return pa.binary()
    return type_


def storable(frame: Schema, table: Sequence[Column], fold: Callable[[str], str]) -> Schema:
    """The same columns, in types that a warehouse has.

    A column that holds only nulls takes the type that the table has, or becomes text; half floats
    become floats.
    """
    pa = pyarrow()
    existing = {fold(column.name): column.arrow for column in table}

    def mended(field: Any) -> Any:
        if pa.types.is_null(field.type) and fold(field.name) in existing:
            return field.with_type(existing[fold(field.name)])
        return field.with_type(with_leaves(field.type, _storable_leaf))

    return pa.schema([mended(field) for field in frame])


def _storable_leaf(type_: Any) -> Any:
    pa = pyarrow()
    if pa.types.is_null(type_):
        return pa.string()
    return pa.float32() if pa.types.is_float16(type_) else type_


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
