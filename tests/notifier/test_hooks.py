from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import dagster as dg
import pytest

from dagweave.notifier import Notice, Notifier, SendsOnly, notify_on
from dagweave.notifier.hooks import Outcome
from dagweave.notifier.trouble import error_text


@dataclass
class Pager(SendsOnly):
    """A notifier that only remembers."""

    notices: list[Notice] = field(default_factory=list)

    def send(self, notice: Notice) -> None:
        self.notices.append(notice)

    def hook(self, outcome: Outcome, **options: object) -> dg.HookDefinition:
        return notify_on(
            outcome,
            lambda _: self,
            name=f"page_when_{outcome}",
            required_resource_keys=frozenset(),
            **options,  # pyright: ignore[reportArgumentType] -- the test's own keywords
        )


@pytest.fixture
def pager() -> Pager:
    return Pager()


@dg.op
def breaks() -> None:
    raise ValueError("no rows on 2013-02-30")


@dg.op
def works() -> int:
    return 1


def test_a_notifier_is_whatever_can_send_a_notice(pager: Pager):
    notifier: Notifier = pager

    notifier.send(
        Notice(summary="s", severity="info", dedup_key="k", job_name="j", op_name="o", run_id="r")
    )

    assert [notice.summary for notice in pager.notices] == ["s"]


def test_a_failed_op_is_told_of_with_its_error(pager: Pager):
    @dg.job(hooks={pager.hook("failed", webserver_base_url="http://dagster.local/")})
    def nightly() -> None:
        breaks()

    result = nightly.execute_in_process(raise_on_error=False)

    [notice] = pager.notices
    assert "Traceback (most recent call last)" in notice.full_details
    assert [replace(notice, full_details="")] == [
        Notice(
            summary="Op breaks on job nightly failed!",
            severity="error",
            dedup_key="nightly|breaks",
            job_name="nightly",
            op_name="breaks",
            run_id=result.run_id,
            details="ValueError: no rows on 2013-02-30",
            link=f"http://dagster.local/runs/{result.run_id}",
        )
    ]


def test_each_hook_hears_of_its_own_outcome_only(pager: Pager):
    @dg.job(hooks={pager.hook("failed"), pager.hook("succeeded")})
    def nightly() -> None:
        works()
        breaks()

    nightly.execute_in_process(raise_on_error=False)

    told = sorted((notice.op_name, notice.severity) for notice in pager.notices)
    assert told == [("breaks", "error"), ("works", "info")]


def test_a_step_that_is_retried_is_told_of_once_when_it_has_failed_for_good(pager: Pager):
    @dg.op(retry_policy=dg.RetryPolicy(max_retries=2))
    def flaky() -> None:
        raise ValueError("still no rows")

    @dg.job(hooks={pager.hook("failed")})
    def nightly() -> None:
        flaky()

    nightly.execute_in_process(raise_on_error=False)

    assert [notice.details for notice in pager.notices] == ["ValueError: still no rows"]


def test_a_failed_asset_is_named_as_people_write_it_with_its_partition(pager: Pager):
    @dg.asset(
        key=["marts", "delays"],
        hooks={pager.hook("failed")},
        partitions_def=dg.StaticPartitionsDefinition(["2013-01", "2013-02"]),
    )
    def delays() -> None:
        raise ValueError

    dg.materialize([delays], partition_key="2013-02", raise_on_error=False)

    [notice] = pager.notices
    assert notice.assets == ("marts/delays",)
    assert notice.partition == "2013-02"


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")  # backfill policies are in beta
def test_a_backfill_in_one_run_is_told_of_with_its_range(pager: Pager):
    @dg.asset(
        hooks={pager.hook("succeeded")},
        partitions_def=dg.StaticPartitionsDefinition(["a", "b", "c"]),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def delays() -> None: ...

    tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
    dg.materialize([delays], tags=tags)

    assert [notice.partition for notice in pager.notices] == ["a...c"]


def test_of_a_step_that_failed_midway_only_the_assets_that_it_did_not_make_are_named(pager: Pager):
    @dg.multi_asset(
        specs=[dg.AssetSpec(name) for name in ("first", "second", "third")],
        hooks={pager.hook("failed")},
    )
    def three():
        yield dg.MaterializeResult("first")
        raise ValueError("out of disk")

    dg.materialize([three], raise_on_error=False)

    assert [notice.assets for notice in pager.notices] == [("second", "third")]


def test_checks_that_did_not_pass_are_named(pager: Pager):
    @dg.asset(
        check_specs=[dg.AssetCheckSpec(name, asset="flights") for name in ("unique", "not_null")],
        hooks={pager.hook("succeeded")},
    )
    def flights():
        yield dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(check_name="unique", passed=True),
                dg.AssetCheckResult(check_name="not_null", passed=False),
            ]
        )

    dg.materialize([flights])

    [notice] = pager.notices
    assert notice.failed_checks == ("flights: not_null",)
    assert notice.severity == "warning"


def test_a_message_function_writes_the_message(pager: Pager):
    @dg.job(hooks={pager.hook("failed", message_fn=lambda context: f"*{context.op.name}*")})
    def nightly() -> None:
        breaks()

    nightly.execute_in_process(raise_on_error=False)

    assert [notice.message for notice in pager.notices] == ["*breaks*"]


def test_a_secret_in_an_error_is_not_told(pager: Pager):
    @dg.op
    def connects() -> None:
        raise ConnectionError("cannot open postgres://etl:hunter22@db/warehouse")

    hook = pager.hook("failed", message_fn=lambda context: f"Look: {context.op_exception}")

    @dg.job(hooks={hook})
    def nightly() -> None:
        connects()

    nightly.execute_in_process(raise_on_error=False)

    [notice] = pager.notices
    assert "hunter22" not in notice.details
    assert "hunter22" not in (notice.message or "")
    assert "postgres://etl:***@db/warehouse" in notice.details


def test_a_hook_can_be_called_by_hand_as_in_a_unit_test(pager: Pager):
    context = dg.build_hook_context(
        op=breaks, run_id="r1", job_name="nightly", op_exception=ValueError("boom")
    )

    pager.hook("failed")(context)

    assert [notice.summary for notice in pager.notices] == ["Op breaks on job nightly failed!"]
    assert [notice.details for notice in pager.notices] == ["ValueError: boom"]


class Broken:
    def send(self, notice: Notice) -> None:
        raise KeyError("the pager is broken")


def test_a_notifier_that_breaks_leaves_the_run_alone_and_is_logged():
    hook = notify_on(
        "succeeded", lambda _: Broken(), name="page", required_resource_keys=frozenset()
    )

    @dg.job(hooks={hook})
    def nightly() -> None:
        works()

    with dg.DagsterInstance.ephemeral() as instance:
        result = nightly.execute_in_process(instance=instance)
        logged = [
            entry.user_message
            for entry in instance.all_logs(result.run_id)
            if not entry.is_dagster_event
        ]

    assert result.success
    assert len(logged) == 1
    assert logged[0].startswith("page could not send its message; the run is not affected.")
    assert "the pager is broken" in logged[0]


class PanicException(BaseException):
    """As an extension in Rust raises it, past every `except Exception`."""


def raising(error: BaseException) -> Callable[[dg.HookContext], str]:
    def message_fn(_: dg.HookContext) -> str:
        raise error

    return message_fn


@pytest.mark.parametrize("error", [SystemExit(3), PanicException("index out of bounds")])
def test_no_error_of_any_kind_in_a_message_function_fails_a_run_that_succeeded(
    pager: Pager, error: BaseException
):
    @dg.job(hooks={pager.hook("succeeded", message_fn=raising(error))})
    def nightly() -> None:
        works()

    with dg.DagsterInstance.ephemeral() as instance:
        result = nightly.execute_in_process(instance=instance)
        logged = [entry.user_message for entry in instance.all_logs(result.run_id)]

    assert result.success
    assert any(type(error).__name__ in line for line in logged)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, dg.DagsterExecutionInterruptedError])
def test_an_interrupt_in_a_hook_is_not_swallowed(pager: Pager, kind: type[BaseException]):
    context = dg.build_hook_context(op=works, run_id="r1", job_name="nightly")

    with pytest.raises(kind):
        pager.hook("succeeded", message_fn=raising(kind()))(context)


def test_only_the_assets_that_were_made_are_told_of_as_made(pager: Pager):
    @dg.multi_asset(
        outs={name: dg.AssetOut(is_required=False) for name in ("first", "second")},
        hooks={pager.hook("succeeded")},
    )
    def either():
        yield dg.Output(1, "first")

    dg.materialize([either])

    assert [notice.assets for notice in pager.notices] == [("first",)]


def test_an_error_is_told_with_its_type_and_its_causes():
    def fails() -> None:
        try:
            {}["carrier"]
        except KeyError as error:
            raise ValueError("cannot read the flights") from error

    with pytest.raises(ValueError, match="flights") as caught:
        fails()

    assert (
        error_text(caught.value)
        == "ValueError: cannot read the flights\ncaused by KeyError: 'carrier'"
    )


def test_a_cause_that_says_nothing_new_is_left_out():
    failure = dg.Failure("Refused: Slack refused it.")
    failure.__cause__ = dg.Failure("Slack refused it.")

    assert error_text(failure) == "Refused: Slack refused it."


def test_what_was_handled_when_an_error_was_raised_is_told():
    def fails() -> None:
        try:
            {}["carrier"]
        except KeyError:
            raise ValueError("cannot report it")  # noqa: B904 -- as people write it

    with pytest.raises(ValueError, match="report") as caught:
        fails()

    assert error_text(caught.value) == (
        "ValueError: cannot report it\nwhile handling KeyError: 'carrier'"
    )


def test_what_was_hidden_by_from_none_stays_hidden():
    def fails() -> None:
        try:
            {}["carrier"]
        except KeyError:
            raise ValueError("no such carrier") from None

    with pytest.raises(ValueError, match="carrier") as caught:
        fails()

    assert error_text(caught.value) == "ValueError: no such carrier"


def test_the_errors_of_a_group_are_told():
    group = ExceptionGroup("two loads failed", [ValueError("no rows"), OSError("no disk")])

    assert error_text(group) == (
        "ExceptionGroup: two loads failed (2 sub-exceptions)\n"
        "one of them: ValueError: no rows\none of them: OSError: no disk"
    )


def test_errors_that_are_each_others_cause_are_told_once():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    assert error_text(first) == "ValueError: first\ncaused by ValueError: second"


def test_causes_without_end_are_told_up_to_a_few():
    errors = [ValueError(f"number {n}") for n in range(20)]
    for error, cause in itertools.pairwise(errors):
        error.__cause__ = cause

    assert error_text(errors[0]).count("number") == 4


def test_an_error_that_cannot_say_what_it_is_still_has_a_name():
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "Silent" in error_text(Silent())
