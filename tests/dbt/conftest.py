"""A small dbt project, parsed and built once for all tests, and a stand-in for dbt itself."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import Definitions, load_from_defs_folder
from filelock import FileLock

from dagweave.dbt import DbtProject
from dagweave.dbt.run import find_dbt

SHOP = Path(__file__).parent / "shop"


def dbt(folder: Path, *args: str) -> None:
    done = subprocess.run(
        [find_dbt(), *args], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="session")
def built_shop(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The project with its manifest and its warehouse, as a full `dbt build` leaves them.

    Made once for all workers. Not to be written to: copy it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    folder = shared / "built_shop"
    with FileLock(shared / "built_shop.lock"):
        if not (folder / "done").exists():
            shutil.copytree(SHOP, folder, dirs_exist_ok=True)
            dbt(folder, "build", "--quiet")
            shutil.rmtree(folder / "logs")
            (folder / "done").touch()
    return folder


@pytest.fixture(scope="session")
def manifest_path(built_shop: Path) -> Path:
    """The manifest of the project; not to be written to."""
    return built_shop / "target" / "manifest.json"


@pytest.fixture
def shop_dir(built_shop: Path, tmp_path: Path) -> Path:
    """A copy of the built project, to run dbt in."""
    return shutil.copytree(built_shop, tmp_path / "shop")


@pytest.fixture
def shop(shop_dir: Path) -> DbtProject:
    return DbtProject(shop_dir)


class Log:
    """Events as dbt logs them, for tests that need no dbt."""

    @staticmethod
    def event(name: str, msg: str = "", *, level: str = "info", **data: Any) -> dict[str, Any]:
        return {
            "info": {"name": name, "msg": msg, "level": level, "invocation_id": "i-1"},
            "data": data,
        }

    @staticmethod
    def version(number: str = "1.11.16") -> dict[str, Any]:
        return Log.event("MainReportVersion", f"Running with dbt={number}", version=f"={number}")

    @staticmethod
    def node_info(unique_id: str, status: str | None) -> dict[str, Any]:
        return {
            "unique_id": unique_id,
            "node_status": status,
            "node_started_at": "2026-01-05T10:00:00.000000",
            "node_finished_at": "2026-01-05T10:00:01.500000",
        }

    @staticmethod
    def built(unique_id: str, status: str = "success") -> dict[str, Any]:
        kind = unique_id.partition(".")[0].capitalize()
        return Log.event(
            f"Log{kind}Result",
            f"{status} {unique_id}",
            level="error" if status == "error" else "info",
            status=status,
            execution_time=1.25,
            node_info=Log.node_info(unique_id, status),
        )

    @staticmethod
    def tested(unique_id: str, status: str = "pass", failures: int = 0) -> dict[str, Any]:
        return Log.event(
            "LogTestResult",
            f"{status} {unique_id}",
            level={"fail": "error", "error": "error", "warn": "warn"}.get(status, "info"),
            status=status,
            execution_time=0.5,
            num_failures=failures,
            node_info=Log.node_info(unique_id, status),
        )

    @staticmethod
    def complaint(unique_id: str, *lines: str) -> list[dict[str, Any]]:
        """What dbt says at the end of a node that failed."""
        first = Log.event(
            "RunResultFailure",
            f"Failure in {unique_id}",
            level="error",
            node_info={"unique_id": unique_id},
        )
        rest = [
            Log.event("RunResultError", line, level="error", node_info={"unique_id": unique_id})
            for line in lines
        ]
        return [first, *rest]

    @staticmethod
    def finished(unique_id: str, status: str = "success", level: str = "info") -> dict[str, Any]:
        """What Fusion logs when a node has ended."""
        return Log.event(
            "NodeFinished",
            f"Finished running node {unique_id}",
            level=level,
            node_info=Log.node_info(unique_id, status),
            run_result={"status": status, "execution_time": 2.5},
        )


@pytest.fixture
def log() -> type[Log]:
    return Log


class FakeDbt:
    """A stand-in for dbt that prints what it is told, and remembers how it was called."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "dbt"
        self._calls = folder / "calls.jsonl"

    def prints(
        self, lines: Iterable[dict[str, Any] | str], *, exit_code: int = 0, then: str = ""
    ) -> None:
        """Print events and lines of text, run `then` (Python), and end with `exit_code`."""
        text = "".join(
            (line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines
        )
        self.path.with_name("output").write_text(text)
        self.path.write_text(
            f"#!{sys.executable}\n"
            "import json, os, signal, sys, time\n"
            "here = os.path.dirname(os.path.abspath(__file__))\n"
            "call = {'argv': sys.argv[1:], 'cwd': os.getcwd(), 'pid': os.getpid(),\n"
            "        'env': {k: v for k, v in os.environ.items() if 'DBT' in k}}\n"
            "with open(here + '/calls.jsonl', 'a') as calls:\n"
            "    calls.write(json.dumps(call) + '\\n')\n"
            "sys.stdout.write(open(here + '/output').read())\n"
            "sys.stdout.flush()\n"
            f"{then}\n"
            f"sys.exit({exit_code})\n"
        )
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    @property
    def calls(self) -> list[dict[str, Any]]:
        if not self._calls.exists():
            return []
        return [json.loads(line) for line in self._calls.read_text().splitlines()]


@pytest.fixture
def fake_dbt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDbt:
    """A stand-in for dbt, first on the PATH. It succeeds in silence until told otherwise."""
    folder = tmp_path / "fake"
    folder.mkdir()
    fake = FakeDbt(folder)
    fake.prints([])
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return fake


@pytest.fixture
def write_manifest(tmp_path: Path) -> Callable[..., Path]:
    """Write a manifest of a few nodes, each given as what differs from a plain one."""

    def write(
        *nodes: dict[str, Any], name: str = "manifest.json", project: str = "shop", **top: Any
    ) -> Path:
        content: dict[str, Any] = {
            "metadata": {
                "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
                "dbt_version": "1.11.0",
                "project_name": project,
                "adapter_type": "duckdb",
            },
            "nodes": {},
            "sources": {},
            **top,
        }
        for given in nodes:
            kind, _, rest = given["unique_id"].partition(".")
            entry = {
                "resource_type": kind,
                "name": rest.split(".")[-1],
                "package_name": "shop",
                "fqn": rest.split("."),
                "original_file_path": f"models/{rest}.sql",
                "config": {"materialized": "table"},
                "depends_on": {"nodes": []},
                "tags": [],
                "columns": {},
                **given,
            }
            section = "sources" if kind == "source" else "nodes"
            content[section][given["unique_id"]] = entry
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return write


class Dg:
    """A project of `dg`, with a `defs` folder."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.package = root / "house"
        (self.package / "defs").mkdir(parents=True)
        (self.package / "__init__.py").touch()
        (root / "pyproject.toml").write_text(
            "[tool.dg]\ndirectory_type = 'project'\n\n[tool.dg.project]\nroot_module = 'house'\n"
        )
        monkeypatch.syspath_prepend(root)

    def says(
        self,
        folder: str,
        *,
        type: str = "dagweave.dbt.DbtProjectComponent",  # noqa: A002
        **attributes: Any,
    ) -> None:
        place = self.package / "defs" / folder
        place.mkdir(parents=True, exist_ok=True)
        with (place / "defs.yaml").open("a") as file:
            file.write("---\n")
            yaml.safe_dump({"type": type, "attributes": attributes}, file)

    def load(self) -> Definitions:
        defs = load_from_defs_folder(path_within_project=self.root)
        Definitions.validate_loadable(defs)
        return defs


@pytest.fixture
def dg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dg]:
    yield Dg(tmp_path / "house", monkeypatch)
    for name in [name for name in sys.modules if name.split(".")[0] == "house"]:
        del sys.modules[name]
