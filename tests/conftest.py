"""What holds for every test: homes inside the checkout, no telemetry, nothing from the machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["dagweave.testing.fixtures"]

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".home" / "tests"

os.environ.update(
    {
        # Tools that keep things in the home directory keep them in the checkout.
        "HOME": str(HOME),
        "DLT_DATA_DIR": str(HOME / "dlt"),
        "MPLCONFIGDIR": str(HOME / "matplotlib"),
        # Telemetry would only wait for its time-outs.
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
)
for name in (
    "DAGSTER_HOME",
    "DAGSTER_IS_DEV_CLI",
    "DAGWEAVE_AIRBYTE_BASE_URL",
    "DAGWEAVE_DATABRICKS_BASE_URL",
    "DAGWEAVE_FIVETRAN_BASE_URL",
    "DATABRICKS_HOST",
    "DATABRICKS_TOKEN",
    "DAGSTER_CLOUD_DEPLOYMENT_NAME",
    "DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT",
    "DAGWEAVE_PAGERDUTY_BASE_URL",
    "DAGWEAVE_SLACK_BASE_URL",
    "DAGWEAVE_SNOWFLAKE_BASE_URL",
    "DAGWEAVE_STATE_DIR",
    "DBT_PROFILES_DIR",
    "DBT_TARGET",
    "PAGERDUTY_ROUTING_KEY",
    "SLACK_BOT_TOKEN",
):
    os.environ.pop(name, None)
HOME.mkdir(parents=True, exist_ok=True)

# In the background of a script some signals are ignored, and what a test starts would inherit that.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def _a_working_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test writes by a relative path lands in its own temporary folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _definitions_are_loaded_anew() -> Iterator[None]:
    """A run that a test reconstructs tells its process for good that definitions are loaded for runs.

    In `dagster dev` it is another process; here the tests after it would no longer be a code server.
    """
    yield
    if loading := sys.modules.get("dagster._core.definitions.definitions_load_context"):
        loading.DefinitionsLoadContext._instance = None
