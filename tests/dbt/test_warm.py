"""dbt commands that are forked from a process which has dbt in memory."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster import AssetExecutionContext, AssetSelection, materialize

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import DbtCliResource, DbtProject, dbt_assets
from dagweave.dbt.run import DbtProcess, copy_partial_parse, environment, find_dbt
from dagweave.dbt.run.parent import peer_of, receive, send, short_address, stamp
from dagweave.dbt.run.warm import WarmProcess, WarmRunner

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the warm runner is of Linux"),
    # One worker, one process with dbt in memory.
    pytest.mark.xdist_group("warm"),
]

SLOW = "select sum(a.i * b.i) as n from range(10000000) a(i), range(10000000) b(i)"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(holds: Callable[[], bool], timeout_s: float = 30) -> bool:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def parents(runtime: Path) -> dict[Path, int]:
    """The processes that wait for commands: for each socket the number."""
    found: dict[Path, int] = {}
    for path in (runtime / "dagweave").glob("*.sock"):
        with socket_to(path) as connection:
            if connection:
                found[path] = peer_of(connection)[0]
    return found


class socket_to:  # noqa: N801 -- read as a verb
    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Any:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.settimeout(20)
        try:
            with short_address(str(self.path)) as address:
                self.connection.connect(address)
        except OSError:
            return None
        return self.connection

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def dismissed(runtime: Path) -> None:
    """End all that was started, and see that it has ended."""
    pids = list(parents(runtime).values())
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    assert eventually(lambda: not any(alive(pid) for pid in pids))


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the sockets of this module's tests; nothing is left of them."""
    folder = tmp_path_factory.mktemp("runtime")
    folder.chmod(0o700)
    yield folder
    dismissed(folder)


@pytest.fixture
def own_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same of one test."""
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    dismissed(folder)


@pytest.fixture
def shared(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    return runtime


@pytest.fixture(scope="module")
def project(built_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of this module's own. A test that changes it puts it back."""
    folder = tmp_path_factory.mktemp("warm") / "shop"
    shutil.copytree(built_shop, folder)
    (folder / "models" / "slow.sql").write_text(SLOW)
    subprocess.run([find_dbt(), "parse", "--quiet"], cwd=folder, check=True)
    return folder


class Started:
    """A command, and whether it was started as usual after all."""

    def __init__(self, process: DbtProcess, target: Path, warnings: list[str]) -> None:
        self.process = process
        self.target = target
        self.warnings = warnings
        self.lines: list[str] = []

    @property
    def warm(self) -> bool:
        return isinstance(self.process.popen, WarmProcess)

    def ended(self) -> "Started":
        self.lines += [line.decode() for line in self.process.lines()]
        self.code = self.process.wait()
        return self

    def until(self, text: str) -> "Started":
        for line in self.process.lines():
            self.lines.append(line.decode())
            if text in self.lines[-1]:
                return self
        raise AssertionError(self.lines)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    @property
    def files(self) -> set[str]:
        return {str(file.relative_to(self.target)) for file in self.target.rglob("*")}

    def artifact(self, name: str) -> Any:
        return json.loads((self.target / name).read_text())


def start(
    folder: Path, *args: str, target: str = "own", warm: bool = True, **options: Any
) -> "Started":
    base, own = folder / "target", folder / "target" / target
    shutil.rmtree(own, ignore_errors=True)
    copy_partial_parse(base, own)
    warnings: list[str] = []
    runner = WarmRunner(base / "partial_parse.msgpack", warnings.append, **options)
    process = DbtProcess(
        [find_dbt(), *args],
        cwd=folder,
        env=environment(project_dir=folder, target_path=own, profiles_dir=None),
        runner=runner if warm else None,
    )
    return Started(process, own, warnings)


def told(events: list[dict[str, Any]]) -> Counter[str]:
    """What was logged, but for what no two runs have in common."""

    def plain(event: dict[str, Any]) -> str:
        info = event["info"]
        text = f"{info['level']} {info['name']} {info['msg']}"
        text = re.sub("t_usual|t_warm", "TARGET", text)
        return re.sub(r"[0-9a-f]{8}-[0-9a-f-]+|0x[0-9a-f]+|\d+", "#", text)

    # What the work cost, which connection took it, and the order of a set, differ each time.
    passed_over = re.compile("ResourceReport|MainReportArgs|Connection")
    return Counter(
        plain(event) for event in events if not passed_over.search(event["info"]["name"])
    )


def steady(artifact: Any) -> Any:
    """An artifact, but for what no two runs have in common."""
    changing = {
        "generated_at", "invocation_id", "invocation_started_at", "run_started_at", "timing", "execution_time",
        "thread_id", "elapsed_time", "created_at", "message", "log_path", "target_path",
        "invocation_command", "args",
    }  # fmt: skip
    if isinstance(artifact, dict):
        return {k: v is None if k in changing else steady(v) for k, v in artifact.items()}
    if isinstance(artifact, list):
        return [steady(each) for each in artifact]
    return re.sub("t_usual|t_warm", "", artifact) if isinstance(artifact, str) else artifact


@pytest.mark.parametrize(
    ("command", "one_manifest"),
    [
        (["build", "--exclude", "slow", "--threads", "1"], True),
        (["test", "--vars", "bad_rows: true", "--threads", "1"], False),
        (["--debug", "compile", "--threads", "1"], False),
        (["ls", "--select", "orders", "--output", "json"], True),
        (["run", "--select", "stg_orders", "--vars", "broken: true"], True),
        (["run", "--target", "nowhere"], False),
        (["no-such-command"], False),
    ],
    ids=lambda given: " ".join(given[:2]) if isinstance(given, list) else "",
)
def test_a_warm_command_says_writes_and_ends_with_what_a_process_of_its_own_would(
    command: list[str], one_manifest: bool, project: Path, shared: Path
):
    usual = start(project, *command, target="t_usual", warm=False).ended()
    warm = start(project, *command, target="t_warm", one_manifest=one_manifest).ended()

    assert warm.warm
    assert warm.warnings == []
    assert warm.code == usual.code
    assert told(warm.events) == told(usual.events)
    texts = [[line for line in each.lines if line[0] != "{"] for each in (usual, warm)]
    assert texts[0] == texts[1]
    assert warm.files == usual.files
    for name in ("manifest.json", "run_results.json", "semantic_manifest.json"):
        if name in usual.files:
            assert steady(warm.artifact(name)) == steady(usual.artifact(name))
    # The database is closed: nothing is left to be written.
    assert not (project / "warehouse.duckdb.wal").exists()


def test_the_second_command_is_forked_from_the_same_process(project: Path, shared: Path):
    start(project, "ls").ended()
    before = parents(shared)
    second = start(project, "ls").ended()

    assert second.warm
    assert parents(shared) == before
    log = (second.target / "dbt.log").read_text()
    assert "Nothing changed, skipping partial parsing" in log


def test_a_changed_model_is_seen(project: Path, shared: Path):
    model = project / "models" / "marts" / "orders.sql"
    before = model.read_text()
    start(project, "ls").ended()
    try:
        model.write_text(f"select *, 7 as lucky from ({before})")
        changed = start(project, "compile", "--select", "orders", target="changed").ended()
    finally:
        model.write_text(before)
    back = start(project, "compile", "--select", "orders").ended()

    assert changed.warm
    assert back.warm
    compiled = [
        each.artifact("manifest.json")["nodes"]["model.shop.orders"]["compiled_code"]
        for each in (changed, back)
    ]
    assert "lucky" in compiled[0]
    assert "lucky" not in compiled[1]


def test_variables_and_targets_are_those_of_each_command(
    project: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
):
    def date(*args: str) -> str:
        done = start(project, "compile", "--select", "orders", *args).ended()
        assert done.warm
        assert done.code == 0
        code = done.artifact("manifest.json")["nodes"]["model.shop.orders"]["compiled_code"]
        return re.findall(r"\d{4}-\d\d-\d\d", code)[0]

    dates = [date(), date("--vars", "run_date: '2025-05-05'"), date()]
    monkeypatch.setenv("SHOP_DATABASE", "elsewhere.duckdb")
    elsewhere = start(project, "compile", "--target", "other").ended()
    relations = elsewhere.artifact("manifest.json")["nodes"]["model.shop.orders"]["relation_name"]

    assert dates == ["2024-01-01", "2025-05-05", "2024-01-01"]
    assert relations == '"elsewhere"."main"."orders"'
    (project / "elsewhere.duckdb").unlink()


def test_the_environment_is_that_of_each_command(
    project: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
):
    macro = project / "macros" / "say.sql"
    macro.parent.mkdir(exist_ok=True)
    macro.write_text(
        "{% macro say() %}{{ print('it is ' ~ env_var('WORD', 'unset')) }}{% endmacro %}"
    )
    try:
        said: list[str] = []
        for word in ("one", "two", None):
            if word:
                monkeypatch.setenv("WORD", word)
            else:
                monkeypatch.delenv("WORD")
            done = start(project, "--quiet", "run-operation", "say").ended()
            assert done.warm
            said.append(re.findall(r"it is (\w+)", "".join(done.lines))[-1])
    finally:
        macro.unlink()

    assert said == ["one", "two", "unset"]


def test_an_interrupted_command_ends_and_lets_go_of_the_database(project: Path, shared: Path):
    started = start(project, "run", "--select", "slow").until("LogStartLine")
    pid = started.process.popen.pid

    code = started.process.stop(20)

    assert started.warm
    assert code in (1, 2, -signal.SIGKILL)
    assert not alive(pid)
    with duckdb.connect(str(project / "warehouse.duckdb")) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_command_that_does_not_stop_is_killed(project: Path, shared: Path):
    started = start(project, "run", "--select", "slow").until("LogStartLine")

    code = started.process.stop(0)

    assert started.warm
    assert code == -signal.SIGKILL
    assert started.process.popen.returncode == -signal.SIGKILL
    assert eventually(lambda: not Path(f"/proc/{started.process.popen.pid}").exists())
    with pytest.raises(ProcessLookupError):
        os.killpg(started.process.popen.pid, 0)


def test_a_command_ends_with_the_client_that_wants_it(project: Path, shared: Path, tmp_path: Path):
    script = tmp_path / "client.py"
    script.write_text(
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
        "import os, pathlib, test_warm\n"
        f"started = test_warm.start(pathlib.Path({str(project)!r}), 'run', '--select', 'slow')\n"
        "started.until('LogStartLine')\n"
        "print(started.process.popen.pid, started.warm, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    pid, warm = done.stdout.split()

    assert warm == "True"
    assert eventually(lambda: not alive(int(pid)), 40)


def test_a_command_ends_if_the_process_it_came_from_is_killed(project: Path, own_runtime: Path):
    started = start(project, "run", "--select", "slow").until("LogStartLine")
    [parent] = parents(own_runtime).values()
    os.kill(parent, signal.SIGKILL)

    code = started.ended().code

    assert started.warm
    assert code == -signal.SIGKILL
    assert not alive(started.process.popen.pid)
    # And the next one finds another.
    again = start(project, "ls").ended()
    assert (again.warm, again.code) == (True, 0)
    assert list(parents(own_runtime).values()) != [parent]


def test_commands_that_come_at_once_start_one_process_and_run_side_by_side(
    project: Path, own_runtime: Path
):
    started: list[Started] = []

    def run(n: int) -> None:
        started.append(start(project, "ls", "--select", "orders", target=f"at_once_{n}").ended())

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [(each.warm, each.code, each.warnings) for each in started] == [(True, 0, [])] * 4
    assert len({each.process.popen.pid for each in started}) == 4
    assert len(parents(own_runtime)) == 1


def test_a_project_that_was_parsed_anew_is_loaded_anew(
    built_shop: Path, tmp_path: Path, own_runtime: Path
):
    folder = shutil.copytree(built_shop, tmp_path / "shop")
    start(folder, "ls").ended()
    [before] = parents(own_runtime).values()
    (folder / "models" / "new.sql").write_text("select 1 as id")
    subprocess.run([find_dbt(), "parse", "--quiet"], cwd=folder, check=True)

    listed = start(folder, "ls", "--select", "new").ended()

    assert listed.warm
    assert "shop.new" in "".join(listed.lines)
    assert list(parents(own_runtime).values()) != [before]
    assert eventually(lambda: not alive(before))


def test_it_leaves_when_nobody_comes_and_when_its_socket_is_gone(
    project: Path, own_runtime: Path, monkeypatch: pytest.MonkeyPatch
):
    start(project, "ls").ended()
    [(path, unreachable)] = parents(own_runtime).items()
    monkeypatch.setenv("LANGUAGE", "en")  # another interpreter, as it would start
    start(project, "ls", idle_s=0.5).ended()
    [idle] = {*parents(own_runtime).values()} - {unreachable}

    path.unlink()

    assert eventually(lambda: not alive(unreachable))
    assert eventually(lambda: not alive(idle))
    assert list((own_runtime / "dagweave").glob("*.sock")) == []


def as_usual(started: Started, why: str) -> None:
    started.ended()
    assert not started.warm
    assert started.code == 0
    assert len(started.warnings) == 1
    assert "\n" not in started.warnings[0]
    assert started.warnings[0].startswith("dbt is started as a process of its own, not by the warm")
    assert re.search(why, started.warnings[0])


def test_sockets_that_others_may_reach_are_not_used(project: Path, own_runtime: Path):
    start(project, "ls").ended()
    [path] = parents(own_runtime)

    path.chmod(0o666)
    as_usual(start(project, "ls"), r"\.sock is not of this user alone")
    path.chmod(0o600)
    path.parent.chmod(0o750)
    as_usual(start(project, "ls"), r"dagweave is not of this user alone")
    path.parent.chmod(0o700)

    assert start(project, "ls").ended().warm


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can be somebody else"
)
def test_another_user_is_not_heard(
    project: Path, own_runtime: Path, monkeypatch: pytest.MonkeyPatch
):
    start(project, "ls").ended()
    [path] = parents(own_runtime)
    # As if somebody had opened it to all: the kernel still tells who comes.
    monkeypatch.chdir(path.parent)
    path.parent.chmod(0o755)
    path.chmod(0o666)
    pid = os.fork()
    if pid == 0:
        refused = False
        try:
            os.setgroups([])
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(20)
                connection.connect(path.name)
                refused = connection.recv(1) == b""
        finally:
            os._exit(0 if refused else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_secrets_go_by_the_socket_alone(
    project: Path, own_runtime: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DBT_ENV_SECRET_TOKEN", "hunter2hunter2")
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "hunter2hunter2")

    done = start(project, "run", "--select", "stg_orders").ended()

    assert done.warm
    [pid] = parents(own_runtime).values()
    files = [file for file in own_runtime.rglob("*") if file.is_file()]
    seen = [Path(f"/proc/{pid}/environ"), Path(f"/proc/{pid}/cmdline"), *files]
    assert not [file for file in seen if b"hunter2" in file.read_bytes()]
    modes = {
        each.name: each.stat().st_mode & 0o777 for each in (own_runtime / "dagweave").iterdir()
    }
    assert {mode for name, mode in modes.items() if name.endswith(".sock")} == {0o600}
    assert (own_runtime / "dagweave").stat().st_mode & 0o777 == 0o700


def test_a_client_that_says_nothing_keeps_nobody_waiting(project: Path, shared: Path):
    start(project, "ls").ended()
    with socket_to(next(iter(parents(shared)))) as silent:
        assert silent
        assert start(project, "ls").ended().warm


def test_a_command_that_is_not_confirmed_does_not_run(project: Path, shared: Path, tmp_path: Path):
    start(project, "ls").ended()
    request = {
        "argv": [find_dbt(), "ls"], "cwd": str(project), "env": {"DBT_TARGET_PATH": str(tmp_path)},
        "umask": 0o022, "one_manifest": False,
        "parsed": stamp(project / "target" / "partial_parse.msgpack"),
    }  # fmt: skip
    with (
        socket_to(next(iter(parents(shared)))) as connection,
        Path(os.devnull).open("wb") as output,
    ):
        assert connection
        send(connection, request, output.fileno())
        answer, _ = receive(connection)

    assert eventually(lambda: not alive(answer["pid"]))
    assert list(tmp_path.iterdir()) == []


def test_another_dbt_is_run_as_usual(fake_dbt: Any, log: Any, project: Path, shared: Path):
    fake_dbt.prints([log.version()])

    as_usual(start(project, "ls"), "is not the program of dbt-core")


def test_what_cannot_be_started_is_not_tried_again_and_again(
    project: Path, own_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif any('parent.py' in each for each in sys.orig_argv): sys.exit(3)"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    as_usual(start(project, "ls"), "it could not be started: it said nothing")
    as_usual(start(project, "ls"), "it could not be started some minutes ago")


def test_an_adapter_that_starts_threads_is_imported_by_each_command(
    project: Path, own_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "sitecustomize.py").write_text(
        """
import sys, threading, time

class StartsAThread:
    def find_spec(self, name, path=None, target=None):
        if name == "dbt.adapters.duckdb":
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()

sys.meta_path.insert(0, StartsAThread())
"""
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    done = start(project, "compile", "--select", "orders").ended()

    assert (done.warm, done.code, done.warnings) == (True, 0, [])
    [pid] = parents(own_runtime).values()
    assert "libduckdb" not in (maps := Path(f"/proc/{pid}/maps").read_text())
    assert "_duckdb" not in maps


def test_a_folder_that_cannot_be_had_is_no_hindrance(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))

    as_usual(start(project, "ls"), "NotADirectoryError")


@pytest.fixture
def warm_dbt(built_shop: Path, tmp_path: Path, own_runtime: Path) -> DbtCliResource:
    project = DbtProject(shutil.copytree(built_shop, tmp_path / "shop"))
    return DbtCliResource(project, runner="warm")


def test_a_step_of_assets_runs_warm(warm_dbt: DbtCliResource, own_runtime: Path):
    project = DbtProject(warm_dbt.project_dir)
    processes: list[Any] = []

    @dbt_assets(manifest=project.manifest_path, project=project)
    def shop(context: AssetExecutionContext, dbt: DbtCliResource):
        invocation = dbt.cli(["build"], context=context)
        processes.append(invocation.process)
        yield from invocation.stream().fetch_row_counts()

    result = materialize(
        [shop],
        selection=AssetSelection.assets("stg_orders", "orders"),
        resources={"dbt": warm_dbt},
    )

    assert result.success
    assert isinstance(processes[0], WarmProcess)
    counts = {
        event.asset_key.to_user_string(): event.materialization.metadata.get("dagster/row_count")
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert set(counts) == {"stg_orders", "orders"}
    assert counts["orders"] is not None
    assert len(parents(own_runtime)) == 1


def test_a_runner_that_there_is_not_is_refused(shop: DbtProject):
    with pytest.raises(InvalidInput, match="There is no runner 'hot'"):
        DbtCliResource(shop, runner="hot")
