"""What the blocks of docs/databricks.md leave out: a workspace, which the emulator stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

EMULATOR = f"""
import atexit
import os
import sys
from contextlib import ExitStack

sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from databricks.sdk import WorkspaceClient as _WorkspaceClient
from emulators import running as _running

_stack = ExitStack()
atexit.register(_stack.close)
_at = _stack.enter_context(_running("databricks"))
_workspace = _WorkspaceClient(host=_at["host"], token=_at["token"], auth_type="pat")
_workspace.catalogs.create(name="analytics")
os.environ["DATABRICKS_HOST"] = _at["host"]
os.environ["DATABRICKS_TOKEN"] = _at["token"]
os.environ["DATABRICKS_WAREHOUSE_ID"] = _workspace.warehouses.create(name="docs").response.id
"""

PRELUDES: dict[str, dict[str, Any]] = {
    "databricks-first": {"code": EMULATOR, "materialize": True, "expect": "orders"},
    "databricks-client": {"code": EMULATOR, "materialize": True, "expect": "catalogs"},
}
