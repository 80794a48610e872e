"""What the blocks of docs/fivetran.md and docs/airbyte.md leave out: an account."""

from __future__ import annotations

from typing import Any

FIVETRAN = """
import os as _os
from dagweave.testing import FivetranServer as _Server

_server = _Server().start()
_server.add_connection("shop", tables={"shop": ["orders"]})
_os.environ["DAGWEAVE_FIVETRAN_BASE_URL"] = _server.url
_os.environ["FIVETRAN_API_KEY"] = _server.api_key
_os.environ["FIVETRAN_API_SECRET"] = _server.api_secret
"""
AIRBYTE = """
import os as _os
from dagweave.testing import AirbyteServer as _Server, AirbyteSync as _Sync

_server = _Server().start()
_server.add_connection("shop", streams=["orders"])
_server.script("shop_id", _Sync(states=()))
_os.environ["DAGWEAVE_AIRBYTE_BASE_URL"] = _server.url
_os.environ["AIRBYTE_WORKSPACE_ID"] = _server.workspace_id
_os.environ["AIRBYTE_CLIENT_ID"] = _server.client_id
_os.environ["AIRBYTE_CLIENT_SECRET"] = _server.client_secret
"""
SHORT = """
from dagweave.testing import FivetranSync as _Sync

_server.script("shop_id", _Sync(looks=0))
"""

PRELUDES: dict[str, dict[str, Any]] = {
    "fivetran-first": {"code": FIVETRAN + SHORT, "materialize": True, "expect": "shop/orders"},
    "fivetran-one": {"code": FIVETRAN + SHORT, "materialize": True, "expect": "raw/shop/orders"},
    "fivetran-sensor": {"code": FIVETRAN},
    "airbyte-first": {"code": AIRBYTE, "materialize": True, "expect": "orders"},
    "airbyte-one": {"code": AIRBYTE, "materialize": True, "expect": "orders"},
    "airbyte-sensor": {"code": AIRBYTE},
}
