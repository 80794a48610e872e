"""What the blocks of the README leave out."""

from __future__ import annotations

from typing import Any

PRELUDES: dict[str, dict[str, Any]] = {
    "readme-pipeline": {
        # From another folder than that of the file, as a user may.
        "code": """
import os as _os
import pathlib as _pathlib

_elsewhere = _pathlib.Path("elsewhere")
_elsewhere.mkdir()
_os.chdir(_elsewhere)
""",
        "after": """
import duckdb as _duckdb
from dagweave.weaving import Lineage as _Lineage

_found = _Lineage.from_metadata(defs.get_repository_def().metadata)
assert [(x.reader, x.loose, x.writer, x.table) for x in _found.links] == [
    (("marts", "revenue"), ("raw", "orders"), ("shop", "orders"), "shop.raw.orders")
], _found
assert defs.resolve_implicit_global_asset_job_def().execute_in_process().success
assert not list(_pathlib.Path.cwd().iterdir()), "written to where it was started"
with _duckdb.connect(DATABASE) as _connection:
    print("revenue", _connection.execute("select revenue from marts.revenue").fetchall())
""",
        "expect": "revenue [(42,)]",
    },
}
