"""Measure whole processes: CPU seconds and peak memory, ours and another's in turn.

A shared machine makes wall time worthless. CPU seconds of the finished process and its children,
in pairs A B A B, give a ratio that holds when the machine's speed drifts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
OURS = ROOT / ".venv" / "bin" / "python"
OFFICIAL = ROOT / ".venvs" / "official" / "bin" / "python"


@dataclass(frozen=True)
class Command:
    """A process to measure: a Python script given as text, run by one of the environments.

    `setup` runs before each measured run, unmeasured, in the same empty working directory.
    """

    label: str
    script: str
    python: Path = OURS
    setup: str = ""
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """What one run cost, its children included."""

    cpu_s: float
    peak_mb: float
    wall_s: float = 0.0
    said: str = ""
    """What it printed."""


def run(command: Command) -> Figures:
    """Run `command` once, in a new working directory, and return what it cost."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env |= {
        "PYTHONPATH": str(ROOT),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        **command.env,
    }
    with tempfile.TemporaryDirectory() as cwd:
        env.setdefault("DLT_DATA_DIR", f"{cwd}/dlt")
        if command.setup:
            subprocess.run([command.python, "-c", command.setup], cwd=cwd, env=env, check=True)
        with tempfile.TemporaryFile() as out:
            started = time.perf_counter()
            process = subprocess.Popen(
                [command.python, "-c", command.script], cwd=cwd, env=env, stdout=out, stderr=out
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            said = out.read().decode()
            if process.returncode:
                sys.exit(f"{command.label} failed:\n{said[-4000:]}")
    return Figures(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, wall_s, said)


def cpu_of(figures: Figures) -> float:
    """CPU seconds of the whole process."""
    return figures.cpu_s


def compare(
    title: str,
    ours: Command,
    other: Command,
    *,
    runs: int = 5,
    of: Callable[[Figures], float] = cpu_of,
) -> float:
    """Run both in turn `runs` times after a warm-up; print the medians; return the CPU ratio.

    The ratio is the median of the pairs' ratios, ours over the other's: below 1 is better. `of` says
    which CPU seconds of a run are compared.
    """
    for command in (ours, other):
        run(command)
    pairs = [(run(ours), run(other)) for _ in range(runs)]
    ratio = statistics.median(of(a) / of(b) for a, b in pairs)
    memory = statistics.median(a.peak_mb / b.peak_mb for a, b in pairs)
    print(f"\n{title}  (medians of {runs} pairs)")
    for label, side in ((ours.label, 0), (other.label, 1)):
        cpu_s = statistics.median(of(pair[side]) for pair in pairs)
        peak_mb = statistics.median(pair[side].peak_mb for pair in pairs)
        print(f"  {label:<28} {cpu_s:8.2f} CPU s {peak_mb:8.0f} MB")
    print(f"  ratio                        {ratio:8.2f} CPU   {memory:8.2f} memory")
    return ratio
