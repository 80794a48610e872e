"""Drive a Fivetran with what the vendor's own command line asks; print what it got."""

from __future__ import annotations

import contextlib
import json
import sys

from fivetran_connector_sdk_cli import connector_helper as cli
from fivetran_connector_sdk_common import constants

url, key, group, name = sys.argv[1:]
constants.PRODUCTION_BASE_URL = url
# It says what it does where we say what it got.
with contextlib.redirect_stdout(sys.stderr):
    group_id, group_name = cli.get_group_info(group, key)
    found = cli.get_connection_details(name, group_name, group_id, key)
    detail = cli.get_connection_detail(found[0], key)
print(json.dumps({"group": [group_id, group_name], "found": found, "detail": detail}))
