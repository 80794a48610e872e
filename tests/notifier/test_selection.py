from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from dagweave._dagster.private import code_location_origins
from dagweave.notifier import Notice, SendsOnly, notify_on_run_failure

CODE = """
import dagster as dg

@dg.op
def breaks():
    raise ValueError

@dg.job
def nightly():
    breaks()

@dg.job
def hourly():
    breaks()

defs = dg.Definitions(jobs=[nightly, hourly])
"""


class Pager(SendsOnly):
    def __init__(self) -> None:
        self.jobs: list[str | None] = []

    def send(self, notice: Notice) -> None:
        self.jobs.append(notice.job_name)


@pytest.fixture(scope="module")
def failed_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """An instance in which jobs of a code location called `there.py` failed."""
    file = tmp_path_factory.mktemp("code") / "there.py"
    file.write_text(CODE)
    [origin] = code_location_origins(
        modules=[],
        python_files=[str(file)],
        workspaces=[],
        working_directory=None,
        attribute=None,
    )
    with dg.instance_for_test() as instance:
        with origin.create_location(instance) as location:
            repository = next(iter(location.get_repositories().values()))
            for name in ("nightly", "hourly"):
                job = repository.get_full_job(name)
                run = dg.DagsterRun(
                    job_name=name,
                    remote_job_origin=job.get_remote_origin(),
                    job_code_origin=job.get_python_origin(),
                )
                instance.add_run(run)
                instance.report_run_failed(run, "killed")
        yield instance


LOCATION = "there.py"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, []),
        ({"monitor_all_code_locations": True}, ["nightly", "hourly"]),
        (
            {"monitored_jobs": [dg.CodeLocationSelector(location_name=LOCATION)]},
            ["nightly", "hourly"],
        ),
        (
            {
                "monitored_jobs": [
                    dg.RepositorySelector(location_name=LOCATION, repository_name="__repository__")
                ]
            },
            ["nightly", "hourly"],
        ),
        ({"monitored_jobs": [dg.JobSelector(LOCATION, "__repository__", "hourly")]}, ["hourly"]),
        ({"monitored_jobs": [dg.CodeLocationSelector(location_name="another")]}, []),
    ],
)
def test_runs_of_other_code_locations_are_told_of_where_they_are_selected(
    failed_elsewhere: dg.DagsterInstance, options: dict[str, object], told: list[str]
):
    pager = Pager()
    sensor = notify_on_run_failure(lambda _: pager, **options)  # pyright: ignore[reportArgumentType] -- a table of options

    with dg.build_sensor_context(failed_elsewhere) as context:
        sensor.evaluate_tick(context)

    assert pager.jobs == told
