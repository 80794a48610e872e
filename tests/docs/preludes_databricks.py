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
    "databricks-runs": {
        "code": EMULATOR
        + """
import base64 as _base64
from databricks.sdk.service import jobs as _jobs
from databricks.sdk.service import workspace as _files

_workspace.workspace.import_(
    "/Shared/prepare.py",
    content=_base64.b64encode(b"print(1)").decode(),
    format=_files.ImportFormat.SOURCE,
    language=_files.Language.PYTHON,
)
_task = _jobs.Task(task_key="dbt", dbt_task=_jobs.DbtTask(commands=["dbt run"]))
assert _workspace.jobs.create(name="train", tasks=[_task]).job_id == 1
""",
        "after": """
_polls = {"config": {"poll_interval_seconds": 0.1}}
_config = {"ops": {"prepare": _polls, "train": _polls}}
assert defs.resolve_job_def("nightly").execute_in_process(run_config=_config).success
""",
    },
    "databricks-client": {"code": EMULATOR, "materialize": True, "expect": "catalogs"},
}
