"""What the blocks of docs/snowflake.md leave out: an account, which the emulator stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

EMULATOR = f"""
import atexit
import os
import sys
from contextlib import ExitStack

sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from cryptography.hazmat.primitives import serialization as _form
from cryptography.hazmat.primitives.asymmetric import rsa as _rsa
from emulators import running as _running

_stack = ExitStack()
atexit.register(_stack.close)
_at = _stack.enter_context(_running("snowflake"))
_key = _rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    _form.Encoding.PEM, _form.PrivateFormat.PKCS8, _form.NoEncryption()
)
os.environ["DAGWEAVE_SNOWFLAKE_BASE_URL"] = "{{protocol}}://{{host}}:{{port}}".format(**_at)
os.environ["SNOWFLAKE_ACCOUNT"] = "acme-test"
os.environ["SNOWFLAKE_USER"] = "loader"
os.environ["SNOWFLAKE_PRIVATE_KEY"] = _key.decode()
import snowflake.connector as _connector

def _rows(sql):
    with _connector.connect(
        account="a", user="u", password="p", database="ANALYTICS", schema="MARTS", **_at
    ) as connection:
        return connection.cursor().execute(sql).fetchall()
"""

PRELUDES: dict[str, dict[str, Any]] = {
    "snowflake-tables": {
        "code": EMULATOR,
        "after": """
import dagster as _dg

assert _dg.materialize([orders, revenue], resources={"io_manager": io_manager}).success
assert _rows("SELECT amount FROM revenue") == [(42.0,)]
""",
    },
    "snowflake-first": {
        "code": EMULATOR,
        "materialize": True,
        "expect": "orders",
    },
    "snowflake-freshness": {
        "code": EMULATOR + '\n_rows("CREATE TABLE orders AS SELECT 1 AS id")\n',
        "after": """
import dagster as _dg

_whole = _dg.Definitions(
    assets=defs.assets,
    asset_checks=defs.asset_checks,
    jobs=[_dg.define_asset_job("checks", _dg.AssetSelection.all_asset_checks())],
    resources=defs.resources,
)
(_check,) = _whole.resolve_job_def("checks").execute_in_process().get_asset_check_evaluations()
# The emulator says of every table that it was changed in 1970.
assert not _check.passed
""",
    },
    "snowflake-op": {
        "code": EMULATOR + '\n_rows("CREATE TABLE events AS SELECT 1 AS id")\n',
        "after": """
assert defs.resolve_job_def("nightly").execute_in_process().success
assert _rows("SELECT COUNT(*) FROM events") == [(0,)]
""",
    },
}
