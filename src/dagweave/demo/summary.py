"""What the demo says at its end: what was made, how long it took, what to do next."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dagweave.notifier.text import cut, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import AssetCheckEvaluation
    from rich.console import Console

    from dagweave.demo.home import Home
    from dagweave.demo.pipeline import Outcome
    from dagweave.testing import PostedMessage

_LONGEST_TEXT = 1500


def show_summary(
    outcome: Outcome, home: Home, arrived: Sequence[PostedMessage], console: Console
) -> None:
    """Print the summary of a run that succeeded."""
    progress = outcome.progress
    warned = f", {len(progress.warned)} warned" if progress.warned else ""
    parts = {
        "assets": str(len(progress.assets)),
        "rows": ", ".join(f"{count:,} {what}" for what, count in _rows(home).items()),
        "checks": f"{progress.passed} passed{warned}",
        "Slack": "; ".join(f"{m.channel}: {m.text}" for m in arrived) or "nothing arrived",
        "data": str(home.database),
        "log": str(home.log),
    }
    made = Table.grid(padding=(0, 2))
    for part, value in parts.items():
        made.add_row(part, _foreign(value))
    console.print()
    console.print(made)
    _show_seconds(outcome, console)
    _show_next(home, console)


def show_failure(
    outcome: Outcome,
    home: Home,
    arrived: Sequence[PostedMessage],
    console: Console,
    *,
    broken: bool,
) -> None:
    """Print how a failure travelled: the check, the error, the message that arrived.

    Args:
        broken: Whether it was asked for.
    """
    console.print("\n[bold red]The run failed.[/] This is what travelled:")
    failed = "\n".join(_described(check) for check in outcome.progress.failed)
    panels = [
        *([("the failed check", failed)] if failed else []),
        *(("the error of the step", error) for error in outcome.progress.errors),
        *((f"the message in {message.channel}", message.text) for message in arrived),
    ]
    for number, (title, text) in enumerate(panels, 1):
        shown = _foreign(f"{number}. {title}")
        console.print(Panel(_foreign(text), title=shown, title_align="left"))
    if not arrived:
        console.print("No message arrived at Slack.", style="red")
    console.print(Text(f"What the tools printed: {home.log}"), soft_wrap=True)
    _show_next(home, console)
    if broken:
        console.print(
            Text.assemble("Mend it:            ", (_command(home), "bold")), soft_wrap=True
        )


def show_interruption(home: Home, console: Console) -> None:
    """Print that the run was stopped, and how to go on."""
    console.print(Text.assemble(("Interrupted.", "bold"), " Run it again, and it starts anew:"))
    console.print(Text(_command(home), style="bold"), soft_wrap=True)


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
        table.add_row(Text(part), f"{seconds:.1f}", style="bold")
    for step, seconds in outcome.progress.seconds_by_step.items():
        table.add_row(Text(f"  step {step}"), f"{seconds:.1f}")
    console.print()
    console.print(table)


def _show_next(home: Home, console: Console) -> None:
    command = _command(home, "--ui")
    console.print(Text.assemble("\nSee it in Dagster:  ", (command, "bold")), soft_wrap=True)


def _command(home: Home, *options: str) -> str:
    """How the reader runs the demo on `home`, whichever folder the shell is in next."""
    where = () if home.is_default else ("--dir", str(home.root))
    return shlex.join([_program(), "demo", *options, *where])


def _program() -> str:
    """How the reader calls us: by name if it is on PATH, else by path."""
    script = Path(sys.argv[0]).resolve()
    found = shutil.which("dagweave")
    return "dagweave" if found and Path(found).resolve() == script else str(script)


def _foreign(text: str) -> Text:
    """`text` as it is, but for what a terminal would act on; none of it is markup of ours."""
    return Text(cut(printable(text), _LONGEST_TEXT))
