"""Load an account of Fivetran, a workspace of Airbyte: ours and the official packages' in turn.

Both ask one local server, in a process of its own, whose every answer takes 50 ms, as one far away
does. Of loading, the time that passes is measured, since it is spent waiting; of making
definitions, CPU seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.measure import OFFICIAL, OURS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVERS = {
    "Fivetran": """
from dagweave.testing import FivetranServer
server = FivetranServer(latency_s=0.05).start()
for n in range(COUNT):
    server.add_connection(f"c{n}", tables={f"s{n}": [f"t{m}" for m in range(10)]})
""",
    "Airbyte": """
from dagweave.testing import AirbyteServer
server = AirbyteServer(latency_s=0.05).start()
for n in range(COUNT):
    server.add_connection(f"c{n}", streams=[f"t{n}_{m}" for m in range(10)])
""",
}
SERVE = "\nimport sys\nprint(server.url, flush=True)\nsys.stdin.read()\n"
WORKSPACES = {
    ("Fivetran", "ours"): """
from dagweave.fivetran import FivetranWorkspace, build_fivetran_assets_definitions as build
workspace = FivetranWorkspace(
    account_id="bench", api_key="local-key", api_secret="local-secret", base_url=URL
)
""",
    ("Fivetran", "official"): """
import dagster_fivetran.resources as resources
from dagster_fivetran import FivetranWorkspace, build_fivetran_assets_definitions as build
resources.FIVETRAN_API_BASE = URL
workspace = FivetranWorkspace(account_id="bench", api_key="local-key", api_secret="local-secret")
""",
    ("Airbyte", "ours"): """
from dagweave.airbyte import AirbyteWorkspace, build_airbyte_assets_definitions as build
""",
    ("Airbyte", "official"): """
from dagster_airbyte import AirbyteWorkspace, build_airbyte_assets_definitions as build
""",
}
AIRBYTE = """
workspace = AirbyteWorkspace(
    rest_api_base_url=URL + "/api/public/v1", configuration_api_base_url=URL + "/api/v1",
    workspace_id="0b3b2b5e-0000-4000-8000-000000000001",
    client_id="local-client", client_secret="local-client-secret",
)
"""
LOAD = """
import json, time
begun = time.perf_counter()
specs = workspace.load_asset_specs()
loaded = time.perf_counter()
cpu = time.process_time()
if DEFINE:
    definitions = build(workspace=workspace)
print(json.dumps([len(specs), loaded - begun, time.process_time() - cpu]))
"""


@contextmanager
def _serving(vendor: str, count: int) -> Iterator[str]:
    script = SERVERS[vendor].replace("COUNT", str(count)) + SERVE
    pipe = subprocess.PIPE
    server = subprocess.Popen([OURS, "-c", script], stdin=pipe, stdout=pipe, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def _run(
    vendor: str, whose: str, url: str, *, define: bool, python: Path
) -> tuple[int, float, float]:
    script = f"URL, DEFINE = {url!r}, {define}\n{WORKSPACES[vendor, whose]}"
    script += (AIRBYTE if vendor == "Airbyte" else "") + LOAD
    with tempfile.TemporaryDirectory() as folder:
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        env |= {"DAGWEAVE_STATE_DIR": folder}
        done = subprocess.run(
            [python, "-W", "ignore", "-c", script],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{vendor}, {whose}, failed:\n{done.stderr[-3000:]}")
    count, load_s, define_s = json.loads(done.stdout.splitlines()[-1])
    return count, load_s, define_s


def main() -> None:
    """Of 1,000 connections, the official packages make no definitions: they would not end."""
    for vendor in SERVERS:
        for count in (200, 1000):
            with _serving(vendor, count) as url:
                ours = _run(vendor, "ours", url, define=True, python=OURS)
                theirs = _run(vendor, "official", url, define=count < 1000, python=OFFICIAL)
            assert ours[0] == theirs[0] == count * 10
            print(f"\n{vendor}: {count} connections of 10 tables, 50 ms a call")
            print(f"  loaded in        {ours[1]:8.2f} s, the official in {theirs[1]:8.2f} s")
            print(f"  so many times as fast: {theirs[1] / ours[1]:.1f}")
            defined = f"{theirs[2]:8.2f} CPU s" if count < 1000 else "not run"
            print(f"  definitions in   {ours[2]:8.2f} CPU s, the official in {defined}")
