"""What the blocks of docs/bigquery.md leave out: a project, which the emulator stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

EMULATOR = f"""
import atexit
import os
import sys
from contextlib import ExitStack

sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from emulators import running as _running
from google.auth.credentials import AnonymousCredentials as _Nobody
from google.cloud import bigquery as _bigquery

_stack = ExitStack()
atexit.register(_stack.close)
_at = _stack.enter_context(_running("bigquery"))
os.environ["DAGWEAVE_BIGQUERY_BASE_URL"] = _at["url"]
os.environ["GCP_CREDENTIALS"] = "e30="
_client = _bigquery.Client(
    "my-project", credentials=_Nobody(), client_options={{"api_endpoint": _at["url"]}}
)
_client.create_dataset("shop")

def _rows(sql):
    return [tuple(row) for row in _client.query(sql).result()]
"""

PRELUDES: dict[str, dict[str, Any]] = {
    "bigquery-first": {
        "code": EMULATOR,
        "materialize": True,
        "after": "",
        "expect": "shop/orders shop/revenue",
    },
    "bigquery-client": {
        "code": EMULATOR,
        "materialize": True,
        "expect": "orders",
    },
    "bigquery-ops": {
        "code": EMULATOR + '\n_rows("CREATE TABLE shop.orders AS SELECT 1 AS id")\n',
        "after": """
_done = defs.resolve_job_def("nightly").execute_in_process()
(_frame,) = _done.output_for_node(counted.name)
assert _frame["orders"].tolist() == [1]
assert "reports" in [each.dataset_id for each in _client.list_datasets()]
""",
    },
}
