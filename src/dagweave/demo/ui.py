"""Run `dagster dev` on the demo until it is interrupted, and leave nothing of it behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.text import Text

from dagweave._kernel.errors import InvalidInput, Unavailable
from dagweave._kernel.http import HttpClient
from dagweave._kernel.wait import wait_for

if TYPE_CHECKING:
    from rich.console import Console

_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 30.0


def open_ui(slack_url: str, port: int, console: Console) -> None:
    """Show Dagster's UI on `port` until a `KeyboardInterrupt`, which is how it should end.

    Raises:
        InvalidInput: The port is taken, or Dagster stopped by itself.
    """
    _refuse_a_taken_port(port)
    url = f"http://127.0.0.1:{port}"
    arguments = ["-m", "dagweave.demo.definitions", "-h", "127.0.0.1", "-p", str(port)]
    # In a session of its own, Ctrl-C reaches Dagster once: from us.
    process = subprocess.Popen(
        [sys.executable, "-m", "dagster", "dev", *arguments, "--log-level", "error"],
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        start_new_session=True,
    )
    try:
        with console.status("Starting Dagster ..."):
            _wait_for_ui(url, process)
        console.print(Text.assemble(("Dagster's UI:", "bold"), f"    {url}/asset-groups"))
        console.print(Text.assemble(("Slack's inbox:", "bold"), f"   {slack_url}"))
        console.print("Stop both with Ctrl-C.")
        process.wait()
    except KeyboardInterrupt:
        console.print("Stopping ...")
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask Dagster to stop; kill what has not stopped in time, or when we are interrupted again."""
    try:
        process.send_signal(signal.SIGINT)
        process.wait(_STOP_TIMEOUT_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        pass
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _refuse_a_taken_port(port: int) -> None:
    # Dagster would quietly take another one.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            other = port + 1 if port < 65_535 else port - 1
            raise InvalidInput(
                f"Dagster's UI cannot listen on port {port}.",
                seen=str(error),
                remedy=f"Close what uses it, or choose another: --port {other}",
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

    wait_for(look, what=f"{url} to answer", timeout_s=_START_TIMEOUT_S)
