"""A writer that is killed leaves the table as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dagweave.databricks.store import DatabricksStore
from dagweave.databricks.workspace import Login
from dagweave.testing.warehouse_contract import MONDAY, Warehouse
from emulators.at_databricks import Emulator

WRITER = """
import os, sys
import pyarrow as pa
from dagweave.databricks.store import DatabricksStore
from dagweave.databricks.workspace import Login
from dagweave.testing.warehouse_contract import MONDAY, Warehouse

host, token, warehouse_id, catalog, whole = sys.argv[1:]
store = DatabricksStore(Login(host, token), warehouse_id, catalog)
schema = pa.schema([("day", pa.string()), ("n", pa.int64())])

def batches():
    yield pa.RecordBatch.from_pylist([{"day": "2026-01-05", "n": 9}], schema)
    print("writing", flush=True)
    sys.stdin.read()

rows = pa.RecordBatchReader.from_batches(schema, batches())
Warehouse(store).replace("orders", rows, None if whole == "table" else MONDAY)
"""


@pytest.mark.xdist_group("databricks")
@pytest.mark.parametrize("whole", ["table", "partition"])
def test_a_killed_writer_leaves_the_rows_and_the_next_one_writes(
    emulator: Emulator, catalog: str, tmp_path: Path, whole: str
) -> None:
    store = DatabricksStore(Login(emulator.host, emulator.token), emulator.warehouse_id, catalog)
    warehouse = Warehouse(store)
    before = [{"day": "2026-01-05", "n": 1}, {"day": "2026-01-06", "n": 2}]
    warehouse.replace("orders", before)
    to_reach_it = [emulator.host, emulator.token, emulator.warehouse_id, catalog, whole]

    with subprocess.Popen(
        [sys.executable, "-c", WRITER, *to_reach_it],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        writer.kill()

    assert warehouse.rows("orders") == before
    warehouse.replace("orders", [{"day": "2026-01-05", "n": 3}], MONDAY)
    assert [row["n"] for row in warehouse.rows("orders")] == [3, 2]
