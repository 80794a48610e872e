"""`dbt run --select one_model`, started warm over started as a process of its own.

CPU seconds of the client and of dbt, and wall time up to the end of the command, once the process
with dbt in memory is there. `DAGWEAVE_BENCH_MODELS=10,1000,5000` says for how many models.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dbt_projects import project
from benchmarks.measure import OURS
from dagweave.dbt.run import DbtProcess, Runner, SubprocessRunner, copy_partial_parse, environment
from dagweave.dbt.run.parent import peer_of, short_address
from dagweave.dbt.run.warm import WarmRunner

RUNS = 3


@dataclass(frozen=True)
class Cost:
    """What one command took, its client included."""

    cpu_s: float
    wall_s: float
    first_node_s: float


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and of those of its children that have ended."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    return sum(map(int, numbers)) / os.sysconf("SC_CLK_TCK")


def run(folder: Path, model: str, runner: Runner, pids: list[int]) -> Cost:
    """Run one model in an own target folder, as the resource does."""
    with tempfile.TemporaryDirectory() as own:
        start, before = time.perf_counter(), sum(cpu_of(pid) for pid in pids)
        copy_partial_parse(folder / "target", Path(own))
        process = DbtProcess(
            [str(OURS.with_name("dbt")), "run", "--select", model],
            cwd=folder,
            env=environment(project_dir=folder, target_path=Path(own), profiles_dir=None),
            runner=runner,
        )
        lines = process.lines()
        first_s = next(time.perf_counter() - start for line in lines if b'"LogStartLine"' in line)
        said = b"".join(lines)
        if process.wait():
            sys.exit(said.decode())
        wall_s = time.perf_counter() - start
        # Until the parent has taken note of its child's end.
        time.sleep(0.2)
        return Cost(sum(cpu_of(pid) for pid in pids) - before, wall_s, first_s)


def warm_pid(runtime: Path) -> int:
    """The process that has dbt in memory."""
    import socket

    (path,) = (runtime / "dagweave").glob("*.sock")
    with socket.socket(socket.AF_UNIX) as connection, short_address(str(path)) as address:
        connection.connect(address)
        return peer_of(connection)[0]


def compare(models: int) -> None:
    """Both in turn, in a copy of the project."""

    def fail(why: str) -> None:
        sys.exit(why)

    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(project(models, OURS), Path(scratch, "project"))
        model = min(each.stem for each in folder.glob("models/staging/**/*.sql"))
        os.environ["XDG_RUNTIME_DIR"] = scratch
        warm = WarmRunner(folder / "target" / "partial_parse.msgpack", fail, one_manifest=True)
        first = run(folder, model, warm, [os.getpid()])
        parent = warm_pid(Path(scratch))
        try:
            pairs = [
                (
                    run(folder, model, warm, [os.getpid(), parent]),
                    run(folder, model, SubprocessRunner(), [os.getpid()]),
                )
                for _ in range(RUNS)
            ]
        finally:
            os.kill(parent, signal.SIGTERM)
    print(f"\ndbt run of one model of {models:,}  (medians of {RUNS} pairs)")
    for side, label in enumerate(("warm", "subprocess")):
        cpu_s, wall_s, first_s = (
            statistics.median(getattr(pair[side], name) for pair in pairs)
            for name in ("cpu_s", "wall_s", "first_node_s")
        )
        print(
            f"  {label:<12} {cpu_s:6.2f} CPU s {wall_s:6.2f} s, first model after {first_s:.2f} s"
        )
    cpu, wall = (
        statistics.median(getattr(a, name) / getattr(b, name) for a, b in pairs)
        for name in ("cpu_s", "wall_s")
    )
    print(f"  ratio        {cpu:6.2f} CPU   {wall:6.2f} wall")
    print(f"  the first warm command, which loads dbt: {first.wall_s:.2f} s")


def main() -> None:
    """Compare for the sizes asked for."""
    for size in os.environ.get("DAGWEAVE_BENCH_MODELS", "10,1000").split(","):
        compare(int(size))


if __name__ == "__main__":
    main()
