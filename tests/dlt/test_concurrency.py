"""Several steps of one pipeline at once, each with a working folder of its own."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dlt
import duckdb

from dagweave.dlt import DagsterDltResource

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")

# The first process to create a pipeline's own folder makes it for all, as a code location does
# before it starts steps: dlt itself does that without a lock.
DEFINITIONS = """
import sys
import dlt
from dagster import AssetExecutionContext, DailyPartitionsDefinition, materialize
from dagweave.dlt import DagsterDltResource, dlt_assets

destination, day = sys.argv[1:]

@dlt.source
def events():
    return (
        dlt.resource([{"day": day, "tags": [n]} for n in range(200)], name="clicks"),
        dlt.resource([{"day": day}], name="views"),
    )

@dlt_assets(
    dlt_source=events(),
    dlt_pipeline=dlt.pipeline(
        "events",
        destination=getattr(dlt.destinations, destination.partition("=")[0])(
            destination.partition("=")[2]
        ),
        dataset_name="raw",
        pipelines_dir="pipelines",
    ),
    partitions_def=DailyPartitionsDefinition("2026-01-01"),
)
def loaded(context: AssetExecutionContext, dlt: DagsterDltResource):
    yield from dlt.run(context=context).fetch_row_count()

if day != "none":
    assert materialize([loaded], resources={"dlt": DagsterDltResource()}, partition_key=day).success
"""


def start(destination: str, day: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DEFINITIONS, destination, day],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def all_succeed(destination: str) -> None:
    first = start(destination, "none")
    said, _ = first.communicate()
    assert first.returncode == 0, said
    steps = [start(destination, day) for day in DAYS]
    outputs = [step.communicate()[0] for step in steps]
    assert [step.returncode for step in steps] == [0, 0, 0], "\n".join(outputs)
    assert list(Path("pipelines/.dagweave").iterdir()) == []


def test_three_processes_at_once_all_load_their_partition_into_duckdb(warehouse, query):
    all_succeed(f"duckdb={warehouse}")

    assert query("SELECT day, count(*) FROM raw.clicks GROUP BY day ORDER BY day") == [
        (day, 200) for day in DAYS
    ]
    assert query("SELECT count(*) FROM raw.clicks__tags") == [(600,)]
    assert query("SELECT count(*) FROM raw.views") == [(3,)]


def test_three_processes_at_once_all_load_their_partition_into_files(tmp_path):
    all_succeed(f"filesystem=file://{tmp_path}/lake")

    files = [str(path) for path in (tmp_path / "lake" / "raw" / "clicks").glob("*.gz")]
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT day::VARCHAR, count(*) FROM read_json(?) GROUP BY day ORDER BY day", [files]
        ).fetchall()
    assert rows == [(day, 200) for day in DAYS]


@dlt.source
def events(thread: int):
    return dlt.resource([{"thread": thread, "n": n} for n in range(200)], name="clicks")


def test_three_threads_at_once_all_load(make_pipeline, assets_of, load, query):
    load(assets_of(events(0), name="e", dlt_pipeline=make_pipeline()))

    def one(thread: int) -> int:
        assets = assets_of(events(thread), name="e", dlt_pipeline=make_pipeline())
        return load(assets).metadata["e/clicks"]["rows_loaded"]

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(one, (1, 2, 3))) == [200] * 3

    assert query("SELECT thread, count(*) FROM raw.clicks GROUP BY thread ORDER BY thread") == [
        (thread, 200) for thread in range(4)
    ]


HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


def holding(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_file_that_stays_locked_is_given_up_with_the_name_of_who_holds_it(
    warehouse, assets_of, load
):
    holder = holding(warehouse)
    try:
        loaded = load(
            assets_of(events(1), name="e"),
            resources={"dlt": DagsterDltResource(lock_timeout_s=0.5)},
            raise_on_error=False,
        )
    finally:
        holder.communicate("go\n")

    assert loaded.complaint.startswith("WaitTimeout: Waited 0.5 s for the DuckDB file of dlt")
    assert f"PID {holder.pid}" in loaded.complaint
    assert "one pool with a limit of 1" in loaded.complaint


def test_a_file_that_is_let_go_is_written_after_all(warehouse, make_pipeline, assets_of, load):
    extracted: list[int] = []
    holders: list[subprocess.Popen[str]] = []

    @dlt.source
    def slow():
        @dlt.resource
        def clicks():
            extracted.append(1)
            # Taken between dlt's reading of its state and its loading.
            holders.append(holding(warehouse))
            yield [{"n": 1}, {"n": 2}]

        return clicks

    def let_go() -> None:
        while not holders:
            time.sleep(0.05)
        time.sleep(1)
        holders[0].communicate("go\n")

    with ThreadPoolExecutor(1) as pool:
        releasing = pool.submit(let_go)
        loaded = load(assets_of(slow(), name="e", fetch_row_count=True))
        releasing.result()

    assert loaded.metadata["e/clicks"]["rows_loaded"] == 2
    assert loaded.metadata["e/clicks"]["dagster/row_count"] == 2
    assert extracted == [1]
