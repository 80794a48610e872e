from __future__ import annotations

import gc
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterExecutionInterruptedError

from dagweave.dbt import DagsterDbtCliRuntimeError, DbtCliInvocation, DbtCliResource

MODEL = "model.shop.stg_orders"


@pytest.fixture
def dbt(fake_dbt: Any, tmp_path: Path) -> DbtCliResource:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "dbt_project.yml").write_text("name: shop")
    return DbtCliResource(project_dir=folder)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (
        Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True
    )


def test_each_command_runs_in_the_project_and_writes_to_a_folder_of_its_own(
    dbt: DbtCliResource, fake_dbt: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MY_VARIABLE_OF_DBT", "kept")

    first, second = dbt.cli(["run"]).wait(), dbt.cli(["test"]).wait()

    one, two = fake_dbt.calls
    assert one["argv"] == ["run"]
    assert one["cwd"] == dbt.project_dir == one["env"]["DBT_PROJECT_DIR"]
    assert one["env"]["DBT_TARGET_PATH"] == str(first.target_path)
    assert first.target_path.parent == Path(dbt.project_dir) / "target"
    assert two["env"]["DBT_TARGET_PATH"] == str(second.target_path) != str(first.target_path)
    wanted = {
        "DAGSTER_DBT_CLI": "true",
        "DBT_LOG_FORMAT": "json",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "MY_VARIABLE_OF_DBT": "kept",
    }
    assert {name: one["env"][name] for name in wanted} == wanted


def test_what_dbt_parsed_before_is_at_hand_for_each_command(dbt: DbtCliResource, fake_dbt: Any):
    parsed = Path(dbt.project_dir, "target", "partial_parse.msgpack")
    parsed.parent.mkdir()
    parsed.write_bytes(b"parsed")

    invocation = dbt.cli(["run"]).wait()

    assert (invocation.target_path / "partial_parse.msgpack").read_bytes() == b"parsed"


def test_events_are_handed_out_once_also_after_asking_for_success(
    dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    fake_dbt.prints([log.version(), log.built(MODEL)])
    invocation = dbt.cli(["run"])

    assert invocation.is_successful()
    assert [str(event) for event in invocation.stream_raw_events()] == [
        "Running with dbt=1.11.16",
        f"success {MODEL}",
    ]
    assert list(invocation.stream_raw_events()) == []
    assert invocation.get_error() is None


def test_output_is_read_though_nobody_asks_for_it(dbt: DbtCliResource, fake_dbt: Any):
    fake_dbt.prints(["x" * 1000] * 1000)  # far more than a pipe holds

    invocation = dbt.cli(["run"])

    assert invocation.process.wait(timeout=60) == 0
    assert len(list(invocation.dbt_process.lines())) == 1000


def test_lines_that_are_no_events_are_printed_and_passed_over(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, capfd: pytest.CaptureFixture[str]
):
    fake_dbt.prints(["a warning of Python", "{not json", '{"json": "but no event"}', log.version()])

    events = list(dbt.cli(["run"]).stream_raw_events())

    assert [event.event_type_value for event in events] == ["MainReportVersion"]
    printed = capfd.readouterr().out
    assert "a warning of Python\n{not json\n" in printed
    assert "Running with dbt=1.11.16" in printed


def test_a_failure_says_which_nodes_failed_in_the_words_of_dbt(
    dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    fake_dbt.prints(
        [
            log.built(MODEL, "error"),
            *log.complaint(MODEL, "Runtime Error in model stg_orders", "  no_such_column"),
        ],
        exit_code=1,
    )

    with pytest.raises(DagsterDbtCliRuntimeError) as caught:
        dbt.cli(["run", "--full-refresh"]).wait()

    said = caught.value.description or ""
    assert "dbt failed with exit code 1" in said
    assert "run --full-refresh" in said
    assert MODEL in said
    assert "Runtime Error in model stg_orders" in said
    assert "no_such_column" in said
    assert caught.value.allow_retries


def test_a_failure_that_is_not_to_be_raised_can_be_asked_for(
    dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    fake_dbt.prints([log.built(MODEL)], exit_code=1)
    invocation = dbt.cli(["run"], raise_on_error=False)

    assert not invocation.is_successful()
    assert len(list(invocation.stream_raw_events())) == 1
    assert isinstance(invocation.get_error(), DagsterDbtCliRuntimeError)


def test_an_error_in_the_log_is_a_failure_though_dbt_ends_well(
    dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    fake_dbt.prints([log.event("SomethingBroke", "the disk is full", level="error")])

    with pytest.raises(
        DagsterDbtCliRuntimeError, match=r"(?s)exit code 0, but logged an error.*the disk is full"
    ):
        dbt.cli(["run"]).wait()


def test_the_compact_json_of_another_engine_is_read_as_well(dbt: DbtCliResource, fake_dbt: Any):
    fake_dbt.prints(['{"info":{"name":"X","level":"error","msg":"boom"},"data":{}}'])

    with pytest.raises(DagsterDbtCliRuntimeError, match="boom"):
        dbt.cli(["run"]).wait()


def test_a_dbt_that_prints_no_json_is_quoted(dbt: DbtCliResource, fake_dbt: Any):
    fake_dbt.prints(["Traceback (most recent call last):", "ImportError: no libthing"], exit_code=1)

    with pytest.raises(
        DagsterDbtCliRuntimeError, match=r"(?s)last words.*ImportError: no libthing"
    ):
        dbt.cli(["run"]).wait()


def test_a_dbt_that_was_killed_is_called_so(dbt: DbtCliResource, fake_dbt: Any, log: Any):
    fake_dbt.prints([log.built(MODEL)], then="os.kill(os.getpid(), signal.SIGKILL)")

    with pytest.raises(DagsterDbtCliRuntimeError, match="dbt was killed by SIGKILL"):
        dbt.cli(["run"]).wait()


def test_ten_thousand_failing_tests_make_a_short_error(
    dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    fake_dbt.prints(
        [
            line
            for n in range(10_000)
            for line in log.complaint(f"test.shop.t{n}", "Got 1 result " + "x" * 5000 * (n == 3))
        ],
        exit_code=1,
    )

    error = dbt.cli(["test"], raise_on_error=False).get_error()

    said = str(getattr(error, "description", ""))
    assert "... and 9990 more." in said
    assert len(said) < 6_000


@pytest.mark.parametrize(
    "said",
    [
        "Parsing Error\n  at path []: Additional properties are not allowed",
        "Runtime Error\n  Could not find profile named 'nope'",
        "Parsing Error\n  Env var required but not provided: 'DB_PASSWORD'",
    ],
)
def test_what_would_fail_again_is_not_retried(
    said: str, dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    fake_dbt.prints([log.event("MainEncounteredError", said, level="error")], exit_code=2)

    with pytest.raises(
        DagsterDbtCliRuntimeError, match="Mend the project or its profile"
    ) as caught:
        dbt.cli(["run"]).wait()

    assert not caught.value.allow_retries


def test_secrets_that_dbt_prints_are_masked_in_the_log_and_in_errors(
    dbt: DbtCliResource,
    fake_dbt: Any,
    log: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("DBT_ENV_SECRET_PAT", "hunter2hunter2")
    leak = "login as u with hunter2hunter2 at postgres://u:letmein99@host/db"
    fake_dbt.prints(["plain: " + leak, log.event("Oops", leak, level="error")], exit_code=1)
    invocation = dbt.cli(["run", "--vars", '{"api_token": "abcdef123456"}'], raise_on_error=False)
    invocation.wait()

    shown = f"{capfd.readouterr()} {invocation.get_error()} {invocation.dbt_command} {invocation!r}"

    assert "login as u" in shown
    for secret in ("hunter2hunter2", "letmein99", "abcdef123456"):
        assert secret not in shown


def interrupted(invocation: DbtCliInvocation) -> None:
    """Read one event, then be interrupted as Dagster interrupts a step."""
    events = invocation.stream_raw_events()
    next(events)
    events.throw(DagsterExecutionInterruptedError())


def test_an_interrupted_step_lets_dbt_cancel_its_queries_first(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, tmp_path: Path
):
    told = tmp_path / "told"
    fake_dbt.prints(
        [],
        then=f"""
try:
    print({json.dumps(log.version())!r}, flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    open({str(told)!r}, "w").close()
    sys.exit(1)
""",
    )
    invocation = dbt.cli(["build"])

    with pytest.raises(DagsterExecutionInterruptedError):
        interrupted(invocation)

    assert told.exists()
    assert invocation.process.returncode == 1


def test_dbt_can_be_interrupted_though_dagster_runs_in_the_background_of_a_script(
    dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    fake_dbt.prints(
        [],
        then=f"""
print({json.dumps(log.version())!r}, flush=True)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
""",
    )
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert dbt.cli(["build"], raise_on_error=False).wait().process.returncode == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_dbt_that_does_not_stop_is_killed_with_all_it_started(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, tmp_path: Path
):
    child = tmp_path / "child"
    fake_dbt.prints(
        [log.version()],
        then=f"""
signal.signal(signal.SIGINT, signal.SIG_IGN)
if os.fork() == 0:
    open({str(child)!r}, "w").write(str(os.getpid()))
    time.sleep(60)
time.sleep(60)
""",
    )
    invocation = dbt.cli(["build"])
    invocation.termination_timeout_seconds = 0.5
    deadline = time.monotonic() + 30
    while not (child.exists() and child.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)

    with pytest.raises(DagsterExecutionInterruptedError):
        interrupted(invocation)

    assert invocation.process.returncode == -signal.SIGKILL
    assert not running(invocation.process.pid)
    deadline = time.monotonic() + 10
    while running(int(child.read_text())) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(int(child.read_text()))


def test_a_real_signal_reaches_a_step_that_waits_for_dbt(
    dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    fake_dbt.prints([log.version()], then="time.sleep(60)")
    invocation = dbt.cli(["build"])
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        invocation.wait()

    assert not running(invocation.process.pid)


def test_a_reader_that_leaves_early_leaves_no_dbt_behind(
    dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    fake_dbt.prints([log.version()], then="time.sleep(60)")
    invocation = dbt.cli(["build"])

    def step() -> None:
        for _ in invocation.stream_raw_events():
            raise ValueError("in the middle of the step")

    with pytest.raises(ValueError, match="in the middle"):
        step()

    assert not running(invocation.process.pid)


def test_artifacts_of_a_command_can_be_read_once_it_has_ended(dbt: DbtCliResource, fake_dbt: Any):
    fake_dbt.prints(
        [],
        then="""
os.makedirs(os.environ["DBT_TARGET_PATH"])
open(os.environ["DBT_TARGET_PATH"] + "/run_results.json", "w").write('{"results": []}')
""",
    )
    invocation = dbt.cli(["run"]).wait()

    assert invocation.get_artifact("run_results.json") == {"results": []}
    with pytest.raises(DagsterDbtCliRuntimeError, match=r"wrote no catalog\.json"):
        invocation.get_artifact("catalog.json")


def test_a_target_path_of_the_users_choice_is_used(
    dbt: DbtCliResource, fake_dbt: Any, tmp_path: Path
):
    invocation = dbt.cli(["run"], target_path=tmp_path / "mine").wait()

    assert fake_dbt.calls[0]["env"]["DBT_TARGET_PATH"] == str(tmp_path / "mine")
    assert invocation.target_path == tmp_path / "mine"


def test_a_dbt_that_is_not_installed_says_how_to_install_it(
    dbt: DbtCliResource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))

    with pytest.raises(
        Exception, match=r'(?s)no .dbt. to run.*pip install "dagweave\[dbt\]"'
    ) as caught:
        dbt.cli(["build"])

    assert not getattr(caught.value, "allow_retries", True)


def test_dbt_is_found_beside_the_running_python(
    dbt: DbtCliResource, fake_dbt: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr("sys.executable", str(fake_dbt.path.parent / "python"))

    dbt.cli(["debug"]).wait()

    assert fake_dbt.calls[0]["argv"] == ["debug"]


def test_fusion_goes_first_under_its_own_name_unless_dbt_is_asked_for(
    dbt: DbtCliResource, fake_dbt: Any
):
    fusion = fake_dbt.path.with_name("dbtf")
    fusion.write_text("#!/bin/sh\nexit 0\n")
    fusion.chmod(0o755)

    fast = DbtCliResource(project_dir=dbt.project_dir)
    slow = DbtCliResource(project_dir=dbt.project_dir, dbt_executable="dbt")

    assert fast.cli(["run"]).wait().dbt_command == f"{fusion} run"
    assert slow.cli(["run"]).wait().dbt_command == f"{fake_dbt.path} run"


def test_no_other_dbt_is_run_than_the_one_asked_for(
    dbt: DbtCliResource, fake_dbt: Any, write_manifest: Callable[..., Path]
):
    dbt.cli(["run"]).wait()

    assert [call["argv"] for call in fake_dbt.calls] == [["run"]]


def test_a_dbt_that_nobody_waits_for_is_interrupted(dbt: DbtCliResource, fake_dbt: Any, log: Any):
    fake_dbt.prints([log.version()], then="time.sleep(60)")
    invocation = dbt.cli(["build"])
    while not fake_dbt.calls:
        time.sleep(0.05)
    pid = invocation.process.pid

    del invocation
    gc.collect()

    deadline = time.monotonic() + 10
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(pid)


def test_dbt_has_ended_though_what_it_started_holds_its_output(
    dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    child = "import time; time.sleep(120)"
    fake_dbt.prints(
        [log.version()],
        then=f"import subprocess; subprocess.Popen([sys.executable, '-c', {child!r}])",
    )

    started = time.monotonic()
    assert dbt.cli(["build"]).is_successful()

    assert time.monotonic() - started < 60


def test_a_secret_is_hidden_however_it_is_quoted_or_cut(
    dbt: DbtCliResource, fake_dbt: Any, log: Any, monkeypatch: pytest.MonkeyPatch
):
    secret = "it's-topsecret-Q1"
    monkeypatch.setenv("DBT_ENV_SECRET_KEY", secret)
    long = "x" * 1_490 + secret
    fake_dbt.prints([log.event("Oops", long, level="error")], exit_code=1)

    invocation = dbt.cli(["run", "--vars", f"key: {secret}"], raise_on_error=False)
    error = str(invocation.get_error())

    for text in (invocation.dbt_command, error):
        assert "topsecret" not in text
        assert "it's-top" not in text


def test_an_error_that_may_pass_is_worth_a_retry(dbt: DbtCliResource, fake_dbt: Any, log: Any):
    said = "Compilation Error in model a: connection timed out in run_query"
    fake_dbt.prints([log.event("MainEncounteredError", said, level="error")], exit_code=2)

    error = dbt.cli(["run"], raise_on_error=False).get_error()

    assert isinstance(error, DagsterDbtCliRuntimeError)
    assert error.allow_retries


def test_asking_how_it_went_before_reading_loses_no_event(
    dbt: DbtCliResource, fake_dbt: Any, log: Any
):
    fake_dbt.prints([log.version(), "a line", log.built(MODEL)])
    invocation = dbt.cli(["run"])

    assert invocation.is_successful()
    assert invocation.get_error() is None

    assert [event.unique_id for event in invocation.stream_raw_events()] == [None, MODEL]
