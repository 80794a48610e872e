"""What the demo says at its end: what was made, how long it took, what to do next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import AssetCheckEvaluation
    from rich.console import Console

    from dagweave.demo.home import Home
    from dagweave.demo.pipeline import Outcome
    from dagweave.testing import PostedMessage

_LONGEST_ERROR = 1500


def show_summary(
    outcome: Outcome, home: Home, arrived: Sequence[PostedMessage], console: Console
) -> None:
    """Print the summary of a run that succeeded."""
    progress = outcome.progress
    made = Table.grid(padding=(0, 2))
    made.add_row("assets", str(len(progress.partitions_by_asset)))
    rows = (f"{count:,} {what}" for what, count in _rows(home).items())
    made.add_row("rows", ", ".join(rows))
    checks = f"{progress.passed} passed"
    made.add_row("checks", checks + (f", {len(progress.warned)} warned" if progress.warned else ""))
    made.add_row("Slack", "; ".join(f"{m.channel}: {m.text}" for m in arrived) or "nothing arrived")
    made.add_row("data", str(home.database))
    made.add_row("log", str(home.log))
    console.print()
    console.print(made)
    _show_seconds(outcome, console)
    _show_next(home, console)


def show_failure(
    outcome: Outcome, home: Home, arrived: Sequence[PostedMessage], console: Console
) -> None:
    """Print how a failure travelled: the check, the error, the message that arrived."""
    console.print("\n[bold red]The run failed.[/] This is what travelled:")
    failed = [_described(check) for check in outcome.progress.failed]
    if failed:
        console.print(Panel("\n".join(failed), title="1. the failed check", title_align="left"))
    for error in outcome.progress.errors:
        shown = error if len(error) <= _LONGEST_ERROR else error[:_LONGEST_ERROR] + " ..."
        console.print(Panel(shown, title="2. the error of the step", title_align="left"))
    for message in arrived:
        title = f"3. the message in {message.channel}"
        console.print(Panel(message.text, title=title, title_align="left"))
    if not arrived:
        console.print("No message arrived at Slack.", style="red")
    _show_next(home, console)
    console.print("Run `dagweave demo` without --break to mend it.")


def _rows(home: Home) -> dict[str, int]:
    """How many rows there are, by who made them."""
    import duckdb

    made_by = {
        "raw_nyc": "loaded by dlt",
        "analytics_marts": "in dbt's marts",
        "delays": "by Polars",
    }
    with duckdb.connect(str(home.database), read_only=True) as connection:
        tables = connection.execute(
            "select schema_name, sum(estimated_size)::bigint from duckdb_tables() "
            "where not starts_with(table_name, '_dlt') group by 1"
        ).fetchall()
    counts = dict(tables)
    return {what: counts[schema] for schema, what in made_by.items() if schema in counts}


def _described(check: AssetCheckEvaluation) -> str:
    count = check.metadata.get("dagster_dbt/failed_row_count")
    rows = f": {count.value} rows fail" if count is not None else ""
    return f"{check.check_name} of {check.asset_key.to_user_string()}{rows}"


def _show_seconds(outcome: Outcome, console: Console) -> None:
    table = Table("part", "seconds", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.columns[1].justify = "right"
    for part, seconds in outcome.seconds.items():
        table.add_row(part, f"{seconds:.1f}", style="bold")
    for step, seconds in outcome.progress.seconds_by_step.items():
        table.add_row(f"  step {step}", f"{seconds:.1f}")
    console.print()
    console.print(table)


def _show_next(home: Home, console: Console) -> None:
    where = "" if home.is_default else f" --dir {shlex.quote(os.path.relpath(home.root))}"
    console.print(f"\nSee it in Dagster:  [bold]{_command()} demo --ui{where}[/]")


def _command() -> str:
    """How the reader calls us: by name if it is on PATH, else by path."""
    script = Path(sys.argv[0])
    found = shutil.which("dagweave")
    if found and Path(found).resolve() == script.resolve():
        return "dagweave"
    return os.path.relpath(script)
