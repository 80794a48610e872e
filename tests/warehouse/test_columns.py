from __future__ import annotations

import pyarrow as pa
import pytest

from dagweave.warehouse.columns import Column, checked, fits, storable

FITTING = [
    (pa.int32(), pa.int64()),
    (pa.int64(), pa.int16()),
    (pa.uint64(), pa.int64()),
    (pa.int64(), pa.float64()),
    (pa.int64(), pa.decimal128(38, 0)),
    (pa.float32(), pa.float64()),
    (pa.decimal128(10, 2), pa.decimal128(12, 4)),
    (pa.date32(), pa.timestamp("us")),
    (pa.date64(), pa.date32()),
    (pa.timestamp("ns"), pa.timestamp("us")),
    (pa.timestamp("us", "America/New_York"), pa.timestamp("us", "UTC")),
    (pa.duration("ns"), pa.month_day_nano_interval()),
    (pa.time64("ns"), pa.time64("us")),
    (pa.large_string(), pa.string()),
    (pa.string_view(), pa.string()),
    (pa.dictionary(pa.int8(), pa.string()), pa.string()),
    (pa.string(), pa.dictionary(pa.int8(), pa.string())),
    (pa.binary(3), pa.binary()),
    (pa.null(), pa.list_(pa.int64())),
    (pa.large_list(pa.int32()), pa.list_(pa.int64())),
    (pa.list_(pa.int32()), pa.list_(pa.float64())),
    (pa.list_(pa.int64(), 2), pa.list_(pa.int64())),
    (
        pa.struct({"b": pa.int32(), "a": pa.string()}),
        pa.struct({"a": pa.string(), "b": pa.int64()}),
    ),
    (pa.map_(pa.string(), pa.int32()), pa.map_(pa.string(), pa.int64())),
    (pa.uuid(), pa.binary()),
]
NOT_FITTING = [
    (pa.float64(), pa.int64()),
    (pa.float64(), pa.float32()),
    (pa.float64(), pa.decimal128(10, 2)),
    (pa.decimal128(10, 4), pa.decimal128(12, 2)),
    (pa.decimal128(10, 0), pa.int64()),
    (pa.string(), pa.int64()),
    (pa.int64(), pa.string()),
    (pa.bool_(), pa.int64()),
    (pa.timestamp("us"), pa.date32()),
    (pa.timestamp("us"), pa.timestamp("us", "UTC")),
    (pa.timestamp("us", "UTC"), pa.timestamp("us")),
    (pa.date32(), pa.timestamp("us", "UTC")),
    (pa.list_(pa.string()), pa.list_(pa.int64())),
    (pa.list_(pa.int64()), pa.list_(pa.int64(), 2)),
    (pa.list_(pa.int64(), 3), pa.list_(pa.int64(), 2)),
    (pa.struct({"a": pa.string()}), pa.struct({"a": pa.string(), "b": pa.int64()})),
    (pa.struct({"a": pa.string()}), pa.string()),
    (pa.list_(pa.int64()), pa.list_(pa.float64())),
    (pa.struct({"a": pa.int32()}), pa.struct({"a": pa.float32()})),
    (pa.list_(pa.timestamp("ns")), pa.list_(pa.timestamp("us"))),
    (pa.map_(pa.string(), pa.string()), pa.map_(pa.string(), pa.int64())),
    (pa.binary(), pa.string()),
]


@pytest.mark.parametrize(("incoming", "existing"), FITTING, ids=str)
def test_a_type_fits_where_nothing_is_lost(incoming: pa.DataType, existing: pa.DataType) -> None:
    assert fits(incoming, existing)


@pytest.mark.parametrize(("incoming", "existing"), NOT_FITTING, ids=str)
def test_a_type_does_not_fit_where_something_would_be_lost(
    incoming: pa.DataType, existing: pa.DataType
) -> None:
    assert not fits(incoming, existing)


@pytest.mark.parametrize("type_", [*{each for pair in FITTING for each in pair}], ids=str)
def test_every_type_fits_itself(type_: pa.DataType) -> None:
    assert fits(type_, type_)


def test_what_an_engine_would_round_is_converted_before() -> None:
    frame = pa.schema(
        {
            "id": pa.int64(),
            "n": pa.int32(),
            "at": pa.timestamp("ns", "Asia/Tokyo"),
            "cut": pa.timestamp("ns"),
        }
    )
    stored = [Column(f.name, "", f.type) for f in frame]
    # An engine that knows no nanoseconds cut them when it made the table.
    stored[3] = Column("cut", "", pa.timestamp("us"))
    table = [
        Column("ID", "", pa.float64()),
        Column("n", "", pa.float64()),
        Column("at", "", pa.timestamp("us", "UTC")),
        Column("cut", "", pa.timestamp("us")),
    ]

    assert checked(frame, stored, table, str.lower) == pa.schema(
        {
            "id": pa.float64(),
            "n": pa.int32(),
            "at": pa.timestamp("us", "Asia/Tokyo"),
            "cut": pa.timestamp("ns"),
        }
    )


def test_what_no_warehouse_has_becomes_what_each_has() -> None:
    frame = pa.schema(
        {
            "none": pa.null(),
            "half": pa.float16(),
            "deep": pa.struct({"x": pa.large_list(pa.null())}),
            "n": pa.int64(),
        }
    )

    assert storable(frame, (), str.lower) == pa.schema(
        {
            "none": pa.string(),
            "half": pa.float32(),
            "deep": pa.struct({"x": pa.large_list(pa.string())}),
            "n": pa.int64(),
        }
    )
