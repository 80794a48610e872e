"""Find dbt, and say how it is called: its variables, and what it parsed before."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from dagweave._kernel.errors import InvalidInput, MissingExtra

DBT: Final = "dbt"
FUSION: Final = "dbtf"
PARTIAL_PARSE: Final = "partial_parse.msgpack"


def default_dbt() -> str:
    """The name of the dbt to run where nobody says: Fusion's own if it is on the path, else dbt."""
    return FUSION if shutil.which(FUSION) else DBT


def find_dbt(wanted: str | None = None) -> str:
    """The path of a dbt, given its name or path.

    A name is looked for on the PATH, then beside the running Python.

    Raises:
        MissingExtra: There is none.
        InvalidInput: What is there cannot be run.
    """
    name = wanted or default_dbt()
    beside = str(Path(sys.executable).parent)
    if found := shutil.which(name) or shutil.which(name, path=beside):
        return os.path.abspath(found)  # noqa: PTH100 -- a link into an environment stays one
    if Path(name).exists():
        raise InvalidInput(
            f"{name} is no program that can be run.",
            remedy="Set dbt_executable to the path of a dbt.",
        )
    raise MissingExtra(
        f"There is no {name!r} to run: neither on the PATH nor beside {sys.executable}.",
        remedy='Install it: pip install "dagweave[dbt]" and your adapter, such as dbt-snowflake; '
        "or set dbt_executable to its path.",
    )


def environment(
    *, project_dir: Path, target_path: Path, profiles_dir: str | Path | None
) -> dict[str, str]:
    """The variables that dbt runs with: ours, and those that make it speak JSON and only to us."""
    return {
        "DBT_USE_COLORS": "false",
        **os.environ,
        # Official packages and macros know by this that Dagster runs them.
        "DAGSTER_DBT_CLI": "true",
        "PYTHONUNBUFFERED": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DBT_LOG_FORMAT": "json",
        "DBT_TARGET_PATH": str(target_path),
        "DBT_LOG_PATH": str(target_path),
        "DBT_PROJECT_DIR": str(project_dir),
        **({"DBT_PROFILES_DIR": str(profiles_dir)} if profiles_dir else {}),
    }


def copy_partial_parse(source: Path, target: Path) -> None:
    """Let dbt start from what it parsed before, though it writes to a folder of its own."""
    if (source / PARTIAL_PARSE).exists() and not (target / PARTIAL_PARSE).exists():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / PARTIAL_PARSE, target / PARTIAL_PARSE)
