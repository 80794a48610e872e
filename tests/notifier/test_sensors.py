from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg
import pytest

from dagweave._kernel.errors import InvalidInput, Refused, Unavailable
from dagweave.notifier import (
    Ability,
    Notice,
    notify_on_check_failure,
    notify_on_freshness,
    notify_on_run_failure,
)

DOWN = Unavailable("The pager did not answer.", seen="token=hunter2secret")


@dataclass
class Pager:
    """A notifier that remembers, and fails as it is told."""

    abilities: frozenset[Ability] = frozenset({"update", "resolve"})
    told: list[tuple[str, str, str | None]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    troubles: list[Exception | None] = field(default_factory=list)

    def send(self, notice: Notice) -> str | None:
        return self._note("send", notice, None)

    def update(self, notice: Notice, handle: str | None) -> str | None:
        return self._note("update", notice, handle)

    def resolve(self, notice: Notice, handle: str | None) -> None:
        self._note("resolve", notice, handle)

    def _note(self, what: str, notice: Notice, handle: str | None) -> str:
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is not None:
            raise trouble
        self.told.append((what, notice.summary, handle))
        self.notices.append(notice)
        return f"handle {len(self.told)}"

    @property
    def summaries(self) -> list[str]:
        return [summary for _, summary, _ in self.told]


@dataclass
class Watcher:
    """Ticks a sensor, and keeps its cursor as the daemon does."""

    instance: dg.DagsterInstance
    defs: dg.Definitions | None = None
    cursor: str | None = None

    def tick(self, sensor: dg.SensorDefinition) -> str:
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=self.defs
        ) as context:
            tick = sensor.evaluate_tick(context)
        self.cursor = tick.cursor
        return tick.skip_message or ""


@dg.op(config_schema={"breaks": dg.Field(bool, default_value=True)})
def load(context) -> None:
    if context.op_config["breaks"]:
        raise ValueError("no rows on 2013-02-30")


@dg.job
def nightly() -> None:
    load()


@dg.job
def hourly() -> None:
    load()


@pytest.fixture
def pager() -> Pager:
    return Pager()


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    with dg.instance_for_test() as instance:
        yield Watcher(instance)


def run(watcher: Watcher, job: dg.JobDefinition = nightly, *, breaks: bool = True) -> str:
    config = {"ops": {"load": {"config": {"breaks": breaks}}}}
    return job.execute_in_process(
        instance=watcher.instance, run_config=config, raise_on_error=False
    ).run_id


def test_a_failed_run_is_told_of_with_its_step_and_its_reason(watcher: Watcher, pager: Pager):
    sensor = notify_on_run_failure(lambda _: pager, webserver_base_url="http://ui/")
    watcher.tick(sensor)
    run_id = run(watcher)

    assert watcher.tick(sensor) == "1 sent."

    [notice] = pager.notices
    assert notice.summary == "Job nightly failed!"
    assert notice.severity == "error"
    assert notice.details == "load: ValueError: no rows on 2013-02-30"
    assert "Traceback" in notice.full_details or "Stack Trace" in notice.full_details
    assert notice.link == f"http://ui/runs/{run_id}"
    assert notice.dedup_key == "nightly"


def test_a_problem_is_told_of_once_updated_and_closed(watcher: Watcher, pager: Pager):
    sensor = notify_on_run_failure(lambda _: pager)
    for breaks in (True, True, False, False, True):
        run(watcher, breaks=breaks)
        watcher.tick(sensor)

    assert pager.told == [
        ("send", "Job nightly failed!", None),
        ("update", "Job nightly failed!", "handle 1"),
        ("resolve", "Job nightly works again.", "handle 2"),
        ("send", "Job nightly failed!", None),
    ]


def test_without_following_up_each_failure_is_told_of_by_itself(watcher: Watcher, pager: Pager):
    sensor = notify_on_run_failure(lambda _: pager, follow_up=False)
    for breaks in (True, False, True):
        run(watcher, breaks=breaks)
    watcher.tick(sensor)

    assert [what for what, _, _ in pager.told] == ["send", "send"]


def test_a_notifier_that_only_sends_is_only_asked_to_send(watcher: Watcher, pager: Pager):
    pager.abilities = frozenset()
    sensor = notify_on_run_failure(lambda _: pager)
    for breaks in (True, True, False):
        run(watcher, breaks=breaks)
    watcher.tick(sensor)

    assert [what for what, _, _ in pager.told] == ["send", "send"]


def test_what_cannot_be_sent_is_sent_by_a_later_tick_and_nothing_twice(
    watcher: Watcher, pager: Pager
):
    sensor = notify_on_run_failure(lambda _: pager)
    watcher.tick(sensor)
    run(watcher)
    run(watcher, hourly)
    pager.troubles = [DOWN, None, DOWN]

    first = watcher.tick(sensor)
    second = watcher.tick(sensor)
    third = watcher.tick(sensor)
    watcher.tick(sensor)

    assert first == (
        "1 sent, 1 could not be sent and will be tried again "
        "(Unavailable: The pager did not answer.)."
    )
    assert "0 sent, 1 could not be sent" in second
    assert third == "1 sent."
    assert pager.summaries == ["Job hourly failed!", "Job nightly failed!"]


def test_what_comes_later_of_a_problem_waits_for_what_came_earlier(watcher: Watcher, pager: Pager):
    sensor = notify_on_run_failure(lambda _: pager)
    watcher.tick(sensor)
    pager.troubles = [DOWN]
    for breaks in (True, False):
        run(watcher, breaks=breaks)

    watcher.tick(sensor)
    watcher.tick(sensor)

    assert [what for what, _, _ in pager.told] == ["send", "resolve"]


def test_a_destination_that_is_down_is_not_asked_for_every_event(watcher: Watcher, pager: Pager):
    sensor = notify_on_run_failure(lambda _: pager, follow_up=False)
    watcher.tick(sensor)
    for _ in range(8):
        run(watcher)
    pager.troubles = [DOWN] * 3

    watcher.tick(sensor)
    assert pager.told == []
    watcher.tick(sensor)

    assert len(pager.told) == 8


def test_notices_that_can_never_be_sent_hold_up_no_other(watcher: Watcher, pager: Pager):
    def badly(context, notice: Notice, run: dg.DagsterRun, entry: dg.EventLogEntry) -> Notice:
        if run.job_name == "nightly":
            raise KeyError("a mistake of the user's")
        return notice

    sensor = notify_on_run_failure(lambda _: pager, follow_up=False, rewrite=badly)
    watcher.tick(sensor)
    for _ in range(5):
        run(watcher)
    watcher.tick(sensor)
    run(watcher, hourly)

    told = watcher.tick(sensor)

    assert pager.summaries == ["Job hourly failed!"]
    assert told.startswith("1 sent, 5 could not be sent and will be tried again (KeyError:")


def test_a_cursor_holds_little_of_why_a_notice_waits(watcher: Watcher, pager: Pager):
    def badly(context, notice: Notice, run: dg.DagsterRun, entry: dg.EventLogEntry) -> Notice:
        raise KeyError("x" * 100_000)

    sensor = notify_on_run_failure(lambda _: pager, rewrite=badly)
    watcher.tick(sensor)
    run(watcher)

    watcher.tick(sensor)

    assert watcher.cursor is not None
    assert "KeyError" in watcher.cursor
    assert len(watcher.cursor) < 2_000


def test_some_jobs_and_all_code_locations_are_not_watched_at_once(pager: Pager):
    with pytest.raises(InvalidInput, match="cannot watch some jobs and all code locations at once"):
        notify_on_run_failure(
            lambda _: pager, monitored_jobs=[nightly], monitor_all_code_locations=True
        )


def test_after_a_bounded_time_a_notice_is_given_up_and_the_reason_is_logged(
    watcher: Watcher, pager: Pager, capsys: pytest.CaptureFixture[str]
):
    sensor = notify_on_run_failure(lambda _: pager, give_up_after_s=0)
    watcher.tick(sensor)
    run(watcher)
    pager.troubles = [Refused("The pager said no.", seen="channel_not_found")] * 2

    watcher.tick(sensor)
    told = watcher.tick(sensor)
    last = watcher.tick(sensor)

    assert told == "0 sent, 1 given up: see the log of this tick."
    assert last == "0 sent."
    logged = capsys.readouterr().err
    assert "gave up on 'nightly'" in logged
    assert "The pager said no." in logged


def test_a_recent_failure_from_before_the_first_tick_is_told_of(watcher: Watcher, pager: Pager):
    run(watcher)

    assert watcher.tick(notify_on_run_failure(lambda _: pager)) == "1 sent."


def test_an_older_one_is_said_to_be_skipped(watcher: Watcher, pager: Pager):
    run_id = run(watcher)
    time.sleep(0.01)

    told = watcher.tick(notify_on_run_failure(lambda _: pager, lookback_s=0))

    assert told.startswith("This is the first tick.")
    assert f"the last such event is of run {run_id}" in told
    assert pager.told == []


def test_the_cursor_of_dagsters_own_sensor_is_gone_on_from(watcher: Watcher, pager: Pager):
    @dg.run_failure_sensor(name="tell")
    def official(_: dg.RunFailureSensorContext) -> None: ...

    watcher.tick(official)
    run(watcher)
    list_of_one = [watcher.tick(official)]
    run(watcher, hourly)

    watcher.tick(notify_on_run_failure(lambda _: pager, name="tell"))

    assert list_of_one
    assert pager.summaries == ["Job hourly failed!"]


def test_a_cursor_of_another_kind_is_refused(watcher: Watcher, pager: Pager):
    watcher.cursor = "2013-02-01"

    with pytest.raises(InvalidInput, match="Reset the cursor"):
        watcher.tick(notify_on_run_failure(lambda _: pager))


def test_a_run_that_was_killed_or_never_started_is_told_of(watcher: Watcher, pager: Pager):
    sensor = notify_on_run_failure(lambda _: pager)
    watcher.tick(sensor)
    lost = watcher.instance.create_run_for_job(nightly)
    watcher.instance.report_run_failed(lost, "The run worker was killed.")

    watcher.tick(sensor)

    [notice] = pager.notices
    assert notice.run_id == lost.run_id
    assert notice.details == "The run worker was killed."


def test_only_monitored_jobs_are_told_of(watcher: Watcher, pager: Pager):
    sensor = notify_on_run_failure(lambda _: pager, monitored_jobs=[hourly])
    watcher.tick(sensor)
    run(watcher)
    run(watcher, hourly)

    watcher.tick(sensor)

    assert pager.summaries == ["Job hourly failed!"]


def test_a_retry_from_failure_closes_what_its_first_run_opened(watcher: Watcher, pager: Pager):
    @dg.asset
    def orders(context) -> None:
        if context.run.root_run_id is None:
            raise ValueError("no orders")

    sensor = notify_on_run_failure(lambda _: pager)
    watcher.tick(sensor)
    first = dg.materialize([orders], instance=watcher.instance, raise_on_error=False)
    watcher.tick(sensor)
    job = dg.Definitions([orders]).resolve_implicit_global_asset_job_def()
    tags = {"dagster/root_run_id": first.run_id, "dagster/parent_run_id": first.run_id}
    retry = watcher.instance.create_run_for_job(
        job,
        root_run_id=first.run_id,
        parent_run_id=first.run_id,
        tags=tags,
        asset_selection=first.dagster_run.asset_selection,
    )
    watcher.instance.report_dagster_event(
        dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=job.name), retry.run_id
    )

    watcher.tick(sensor)

    assert [what for what, _, _ in pager.told] == ["send", "resolve"]
    assert pager.summaries[0] == "A run of assets failed!"


def checked(severity: dg.AssetCheckSeverity, outcomes: list[bool]) -> dg.AssetsDefinition:
    @dg.asset(
        key=["raw", "flights"],
        check_specs=[dg.AssetCheckSpec("not_null", asset=["raw", "flights"])],
        owners=["jo@example.org"],
    )
    def flights():
        yield dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(
                    passed=outcomes.pop(0),
                    check_name="not_null",
                    severity=severity,
                    description="3 rows without a carrier, password=hunter2secret",
                    metadata={"rows": 3},
                )
            ]
        )

    return flights


def test_a_check_that_does_not_pass_is_told_of_and_closed_when_it_does(
    watcher: Watcher, pager: Pager
):
    flights = checked(dg.AssetCheckSeverity.WARN, [True, False, False, True])
    watcher.defs = dg.Definitions([flights])
    sensor = notify_on_check_failure(lambda _: pager)
    for _ in range(4):
        dg.materialize([flights], instance=watcher.instance)
        watcher.tick(sensor)

    assert [what for what, _, _ in pager.told] == ["send", "update", "resolve"]
    notice = pager.notices[0]
    assert notice.summary == "Check not_null of asset raw/flights failed!"
    assert notice.severity == "warning"
    assert notice.details == "3 rows without a carrier, password=***\nrows: 3"
    assert notice.owners == ("jo@example.org",)


@pytest.mark.parametrize(
    ("severity", "told"), [(dg.AssetCheckSeverity.WARN, 0), (dg.AssetCheckSeverity.ERROR, 1)]
)
def test_only_checks_of_enough_severity_are_told_of(
    watcher: Watcher, pager: Pager, severity: dg.AssetCheckSeverity, told: int
):
    flights = checked(severity, [False])
    watcher.defs = dg.Definitions([flights])
    sensor = notify_on_check_failure(lambda _: pager, severity=dg.AssetCheckSeverity.ERROR)
    watcher.tick(sensor)
    dg.materialize([flights], instance=watcher.instance)

    watcher.tick(sensor)

    assert len(pager.told) == told


def test_a_check_of_an_asset_of_elsewhere_is_not_told_of(watcher: Watcher, pager: Pager):
    flights = checked(dg.AssetCheckSeverity.ERROR, [False])
    watcher.defs = dg.Definitions([dg.AssetSpec("another")])
    dg.materialize([flights], instance=watcher.instance)

    here, everywhere = (
        Watcher(watcher.instance, watcher.defs),
        Watcher(watcher.instance, watcher.defs),
    )
    here.tick(notify_on_check_failure(lambda _: pager))
    assert pager.told == []
    everywhere.tick(notify_on_check_failure(lambda _: pager, monitor_all_code_locations=True))

    assert len(pager.told) == 1


def test_an_asset_that_goes_stale_is_told_of_and_closed_when_it_is_fresh(
    watcher: Watcher, pager: Pager
):
    from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

    key = dg.AssetKey(["raw", "flights"])
    watcher.defs = dg.Definitions([dg.AssetSpec(key)])
    sensor = notify_on_freshness(lambda _: pager, webserver_base_url="http://ui")
    watcher.tick(sensor)
    states = [FreshnessState(state) for state in ("UNKNOWN", "PASS", "WARN", "FAIL", "PASS")]
    for before, after in itertools.pairwise(states):
        watcher.instance._report_runless_asset_event(
            FreshnessStateChange(
                key=key,
                new_state=after,
                previous_state=before,
                state_change_timestamp=time.time(),
            )
        )
        watcher.tick(sensor)

    assert pager.told == [
        ("send", "Asset raw/flights is getting stale.", None),
        ("update", "Asset raw/flights is stale!", "handle 1"),
        ("resolve", "Asset raw/flights is fresh again.", "handle 2"),
    ]
    assert [notice.severity for notice in pager.notices] == ["warning", "error", "info"]
    assert pager.notices[0].link == "http://ui/assets/raw/flights"


def test_no_secret_is_in_the_cursor_the_tick_or_the_log(
    watcher: Watcher, pager: Pager, capsys: pytest.CaptureFixture[str]
):
    sensor = notify_on_run_failure(lambda _: pager)
    watcher.tick(sensor)
    run(watcher)
    pager.troubles = [RuntimeError("\ud800 password=hunter2secret"), DOWN]

    told = watcher.tick(sensor) + watcher.tick(sensor)

    assert "password=***" in told
    assert "hunter2secret" not in told + capsys.readouterr().err + str(watcher.cursor)


def test_a_cursor_stays_small(watcher: Watcher, pager: Pager):
    sensor = notify_on_run_failure(lambda _: pager)
    for _ in range(3):
        run(watcher)
        watcher.tick(sensor)

    assert watcher.cursor is not None
    assert len(watcher.cursor) < 500
    assert set(json.loads(watcher.cursor)) == {"after", "floor", "handled", "waiting", "open"}
