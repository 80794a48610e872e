"""Run dbt: find it, start it, keep its output flowing, stop it, say why it failed.

Knows nothing of Dagster. A command is started by a `Runner`: as a process of its own, or, on Linux
and if asked for, from a process that has dbt in memory (`warm`).
"""

from dagweave.dbt.run.command import (
    PARTIAL_PARSE,
    copy_partial_parse,
    default_dbt,
    environment,
    find_dbt,
)
from dagweave.dbt.run.process import (
    TERMINATION_TIMEOUT_S,
    DbtProcess,
    Runner,
    Running,
    SubprocessRunner,
    run_to_end,
)

__all__ = [
    "PARTIAL_PARSE",
    "TERMINATION_TIMEOUT_S",
    "DbtProcess",
    "Runner",
    "Running",
    "SubprocessRunner",
    "copy_partial_parse",
    "default_dbt",
    "environment",
    "find_dbt",
    "run_to_end",
]
