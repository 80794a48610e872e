"""Types of Databricks and of Arrow stand for each other."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagweave._kernel.errors import InvalidInput
from dagweave.databricks.types import arrow_of, stored_schema, text_of

PLAIN = st.sampled_from(
    [
        *(pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64()),
        *(pa.string(), pa.binary(), pa.date32(), pa.timestamp("us"), pa.timestamp("us", "UTC")),
        *(pa.decimal128(38, 0), pa.decimal128(9, 3)),
    ]
)
NAMES = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=8)
TYPES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        inner.map(pa.list_),
        st.tuples(PLAIN, inner).map(lambda pair: pa.map_(*pair)),
        st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(
            lambda fields: pa.struct(list(fields.items()))
        ),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(TYPES)
def test_a_type_comes_back_as_it_was_written(type_: pa.DataType) -> None:
    assert arrow_of(text_of(type_)) == type_


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("bigint", pa.int64()),
        ("decimal", pa.decimal128(10, 0)),
        ("varchar(20)", pa.string()),
        ("interval day to second", pa.string()),
        ("struct<a:int,b:array<string>>", pa.struct([("a", pa.int32()), ("b", pa.list_(pa.string()))])),
        ("STRUCT<a: INT NOT NULL COMMENT 'x, y>', b: DATE>", pa.struct([("a", pa.int32()), ("b", pa.date32())])),
        ("map<string,variant>", pa.map_(pa.string(), pa.string())),
    ],
)  # fmt: skip
def test_what_databricks_writes_is_understood(text: str, type_: pa.DataType) -> None:
    assert arrow_of(text) == type_


@pytest.mark.parametrize(
    ("type_", "stored"),
    [
        (pa.uint8(), pa.int16()),
        (pa.uint64(), pa.decimal128(20, 0)),
        (pa.large_string(), pa.string()),
        (pa.timestamp("ns", "America/New_York"), pa.timestamp("us", "UTC")),
        (pa.dictionary(pa.int32(), pa.string()), pa.string()),
        (pa.list_(pa.float32(), 3), pa.list_(pa.float32())),
    ],
)
def test_a_column_is_stored_as_the_nearest_type_that_holds_it(
    type_: pa.DataType, stored: pa.DataType
) -> None:
    assert stored_schema(pa.schema([("c", type_)])).field("c").type == stored


@pytest.mark.parametrize("type_", [pa.time64("us"), pa.duration("us"), pa.decimal256(50, 2)])
def test_a_column_that_no_table_can_hold_is_named(type_: pa.DataType) -> None:
    with pytest.raises(InvalidInput, match="'when'"):
        stored_schema(pa.schema([("when", type_)]))
