"""What the demo shows of a run: foreign text as it is, and why something failed."""

from __future__ import annotations

import io
from pathlib import Path

import dagster as dg
from rich.console import Console

from dagweave.demo.home import Home
from dagweave.demo.pipeline import Outcome
from dagweave.demo.progress import Progress
from dagweave.demo.summary import show_failure
from dagweave.testing import PostedMessage

MARKUP = "[/bold] [red]rows[/nope] :warning: [link=https://evil]here[/link]"


def heard(job: dg.JobDefinition) -> Progress:
    """Run the job, and let a `Progress` hear of all of it."""
    progress = Progress(Console(file=io.StringIO(), width=300))
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        for entry in instance.all_logs(result.run_id):
            progress.hear(entry)
    return progress


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def failure(progress: Progress, *messages: str, broken: bool = False) -> str:
    """What is shown of a run that failed."""
    console = Console(file=io.StringIO(), width=300)
    arrived = [PostedMessage("#" + text, "C1", "1.000000", text) for text in messages]
    outcome = Outcome(progress, success=False)
    show_failure(outcome, Home(Path("/tmp/[/b]")), arrived, console, broken=broken)
    return printed(console)


@dg.op
def breaks() -> None:
    try:
        {}["carrier"]
    except KeyError as error:
        raise ValueError(f"no carrier {MARKUP}") from error


@dg.job
def nightly() -> None:
    breaks()


def test_an_error_of_the_users_code_is_shown_with_its_cause_and_without_dagsters_wrapping():
    assert heard(nightly).errors == [
        f"ValueError: no carrier {MARKUP}\ncaused by KeyError: 'carrier'"
    ]


def broken_resource(_: dg.InitResourceContext) -> None:
    raise ValueError("no database")


@dg.op(required_resource_keys={"database"})
def reads() -> None: ...


@dg.job(resource_defs={"database": dg.ResourceDefinition(broken_resource)})
def unready() -> None:
    reads()


def test_a_run_that_fails_before_its_first_step_says_why():
    [error] = heard(unready).errors

    assert "ValueError: no database" in error


def test_a_step_that_fails_before_its_start_is_no_trouble():
    heard_of = Progress(Console(file=io.StringIO()))
    with dg.DagsterInstance.ephemeral() as instance:
        result = nightly.execute_in_process(instance=instance, raise_on_error=False)
        for entry in instance.all_logs(result.run_id):
            if entry.dagster_event_type != dg.DagsterEventType.STEP_START:
                heard_of.hear(entry)

    assert heard_of.seconds_by_step == {"breaks": 0.0}


def test_an_interrupt_is_not_taken_for_an_error():
    @dg.op
    def is_stopped() -> None:
        raise dg.DagsterExecutionInterruptedError

    @dg.job
    def stopped() -> None:
        is_stopped()

    progress = heard(stopped)

    assert progress.interrupted
    assert "✗ is_stopped was interrupted" in printed(progress.console)
    assert not heard(nightly).interrupted


def test_foreign_text_is_shown_as_it_is():
    shown = failure(heard(nightly), f"{MARKUP} \x1b[31mred\x1b[0m")

    assert f"ValueError: no carrier {MARKUP}" in shown
    assert f"2. the message in #{MARKUP}" in shown
    assert f"{MARKUP} red" in shown
    assert "/tmp/[/b]/run.log" in shown


def test_names_are_shown_as_they_are():
    @dg.op
    def loads(context) -> None:
        context.log_event(dg.AssetMaterialization(["raw", "[/flights]"]))

    @dg.job
    def loading() -> None:
        loads()

    assert "✓ raw/[/flights]" in printed(heard(loading).console)


def test_the_panels_are_numbered_from_one_and_mending_is_for_what_was_broken():
    unasked = failure(heard(nightly), "it failed")
    asked = failure(heard(nightly), broken=True)

    assert "1. the error of the step" in unasked
    assert "2. the message in #it failed" in unasked
    assert "Mend it" not in unasked
    assert "--dir '/tmp/[/b]'" in asked.partition("Mend it:")[2]
