"""What goes wrong: each says what, which and why, and changes nothing."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from google.cloud import bigquery

from dagweave._kernel.errors import InvalidInput, SchemaMismatch
from dagweave.bigquery.columns import stored
from dagweave.bigquery.connections import Settings
from dagweave.bigquery.store import BigQueryStore
from dagweave.testing.warehouse_contract import MONDAY, Partition, Warehouse
from dagweave.weaving import TableRef


@pytest.fixture
def warehouse(settings: dict[str, Any]) -> Warehouse:
    return Warehouse(BigQueryStore(Settings(**settings)))


@pytest.mark.parametrize(
    ("dataset", "table", "column", "odd"),
    [
        ("order-lines", "t", "c", "order-lines"),
        ("Ünïcode", "t", "c", "Ünïcode"),
        ("d", "a.b", "c", "a.b"),
        ("d", "`t`", "c", "`t`"),
        ("d", "t", "a.b", "a.b"),
        ("d", "t", 'say "hi"', 'say "hi"'),
    ],
)
def test_a_name_that_bigquery_does_not_take_is_refused_and_nothing_is_asked(
    dataset: str, table: str, column: str, odd: str
):
    nobody = BigQueryStore(Settings("p", base_url="http://127.0.0.1:9"))

    def write() -> None:
        nobody.locate(TableRef(table, dataset))
        stored(pa.schema([(column, pa.int64())]))

    with pytest.raises(InvalidInput) as caught:
        write()

    assert repr(odd) in str(caught.value)
    assert "BigQuery takes" in str(caught.value)


@pytest.mark.parametrize("name", ["select", "1st", "Ünïcode 表", "order lines"])
def test_reserved_words_and_other_alphabets_name_columns(warehouse: Warehouse, name: str):
    warehouse.replace("odd", [{name: "a", "n": 1}, {name: "b", "n": 2}])

    warehouse.replace("odd", [{name: "a", "n": 3}], Partition(name, "a"))

    assert warehouse.rows("odd") == [{name: "a", "n": 3}, {name: "b", "n": 2}]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.array([dt.timedelta(seconds=1)]), "duration"),
        (pa.array([[[1]]]), "list of lists"),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "map"),
        (pa.array([Decimal(1)], pa.decimal256(60, 0)), "38 digits"),
        (pa.array([[1, None]]), "hold no null"),
        (pa.array([1], pa.timestamp("ns")), "lose data"),
    ],
    ids=["duration", "list of lists", "map", "digits", "null in a list", "nanosecond"],
)
def test_a_type_that_bigquery_does_not_have_names_the_column_and_changes_nothing(
    warehouse: Warehouse, values: Any, said: str
):
    before = [{"odd": 1}]
    warehouse.replace("types", before)

    with pytest.raises(InvalidInput, match=r"'odd'") as caught:
        warehouse.replace("types", pa.table({"odd": values}))

    assert said in str(caught.value)
    assert warehouse.rows("types") == before


def test_what_bigquery_has_comes_back_as_it_went_in(warehouse: Warehouse):
    columns = {
        "time": pa.array([dt.time(1, 2, 3, 4)], pa.time64("us")),
        "numeric": pa.array([Decimal("1.5")], pa.decimal128(38, 9)),
        "unsigned": pa.array([2**63 + 1], pa.uint64()),
        "structs": pa.array([[{"a": 1, "b": Decimal("2.50")}]]),
        "words": pa.array(["x"]).dictionary_encode(),
    }

    warehouse.replace("types", pa.table(columns))
    back = warehouse.read("types")

    assert back.to_pylist() == pa.table(columns).to_pylist()
    for name in ("time", "numeric", "structs"):
        assert back.schema.field(name).type == columns[name].type


@pytest.mark.parametrize(
    ("arrow", "type_"),
    [
        (pa.decimal128(22, 2), "NUMERIC(22, 2)"),
        (pa.decimal128(38, 9), "NUMERIC"),
        (pa.decimal128(30, 20), "BIGNUMERIC(30, 20)"),
        (pa.uint64(), "NUMERIC(20, 0)"),
        (pa.float32(), "FLOAT64"),
        (pa.timestamp("s"), "DATETIME"),
        (pa.timestamp("s", "Europe/Paris"), "TIMESTAMP"),
        (pa.list_(pa.struct([("a b", pa.int8())])), "ARRAY<STRUCT<`a b` INT64>>"),
    ],
    ids=str,
)
def test_a_type_of_arrow_has_one_of_bigquery(arrow: Any, type_: str):
    # The emulator, which is made of DuckDB, has no BIGNUMERIC of more than 38 digits.
    (column,) = stored(pa.schema([("c", arrow)]))

    assert column.type == type_


def test_a_partition_key_that_matches_nothing_is_no_rows(warehouse: Warehouse):
    warehouse.replace("orders", [{"day": "2026-01-05", "n": 1}])

    found = warehouse.read("orders", Partition("day", "2030-01-01"))

    assert (found.num_rows, found.column_names) == (0, ["day", "n"])


def test_a_dataset_that_is_not_there_is_named(settings: dict[str, Any]):
    nowhere = Warehouse(BigQueryStore(Settings(**settings)), schema="nowhere")

    with pytest.raises(InvalidInput, match=r"no table .*nowhere\.orders"):
        nowhere.rows("orders")


WRITER = """
import sys, os
sys.path[:0] = {path!r}
import pyarrow as pa
from dagweave.bigquery.connections import Settings
from dagweave.bigquery.store import BigQueryStore
from dagweave.testing.warehouse_contract import MONDAY, Warehouse

warehouse = Warehouse(BigQueryStore(Settings({project!r}, base_url={url!r})))
schema = pa.schema([("day", pa.string()), ("n", pa.int64())])

def batches():
    yield pa.RecordBatch.from_pylist([{{"day": "2026-01-05", "n": 7}}], schema)
    print("half", flush=True)
    sys.stdin.read()

warehouse.replace("orders", pa.RecordBatchReader.from_batches(schema, batches()), {part})
"""


@pytest.mark.parametrize("part", ["None", "MONDAY"])
def test_a_writer_that_is_killed_leaves_the_old_rows(
    warehouse: Warehouse, settings: dict[str, Any], client: bigquery.Client, part: str
):
    before = [{"day": "2026-01-05", "n": 1}, {"day": "2026-01-06", "n": 2}]
    warehouse.replace("orders", before)
    script = WRITER.format(
        path=sys.path, project=settings["project"], url=settings["base_url"], part=part
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stdin is not None
    assert writer.stdout.readline() == b"half\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    writer.stdin.close()

    assert warehouse.rows("orders") == before
    left = [each.table_id for each in client.list_tables("contract")]
    assert len([each for each in left if each.startswith("dagweave_stage_")]) == len(left) - 1

    warehouse.replace("orders", [{"day": "2026-01-05", "n": 9}], MONDAY)
    assert [row["n"] for row in warehouse.rows("orders")] == [9, 2]


SECRET = "hunter2-hunter2"


def encoded(**info: Any) -> str:
    return base64.b64encode(json.dumps(info).encode()).decode()


@pytest.mark.parametrize(
    "credentials",
    [
        SECRET,
        base64.b64encode(f'{{"private_key": "{SECRET}"'.encode()).decode(),
        encoded(type="service_account", private_key=SECRET),
        encoded(
            type="service_account",
            private_key=SECRET,
            client_email="a@b.c",
            token_uri="https://x",
        ),
        encoded(type="authorized_user", refresh_token=SECRET),
        encoded(type="magic", private_key=SECRET),
        base64.b64encode(json.dumps([SECRET]).encode()).decode(),
    ],
    ids=["no base64", "no JSON", "lacking", "no key", "user lacking", "unknown", "no object"],
)
def test_credentials_that_cannot_be_read_are_refused_and_never_shown(credentials: str):
    import traceback

    store = BigQueryStore(Settings("p", gcp_credentials=credentials))

    with pytest.raises(InvalidInput, match="gcp_credentials") as caught:
        store.describe(TableRef("t", "d", "p"))

    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert credentials not in told
    assert SECRET not in repr(store)
    assert credentials not in repr(store)
    assert isinstance(caught.value, InvalidInput)
    assert not isinstance(caught.value, SchemaMismatch)
