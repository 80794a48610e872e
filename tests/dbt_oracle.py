"""A program: dbt itself says what thousands of selections select, in one process.

    python dbt_oracle.py COUNT FOLDER:SEED ...

parses each project, makes `COUNT` selections of what is in it, and writes `asked.json` and
`told.json` beside it: a list of ids for each, or none if dbt refuses the selection. It uses what
`dbt ls` does for `--select`, `--exclude`, `--selector` and `--indirect-selection`; that it is the
same, the tests of `dbt ls` say.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner
from dbt.clients.yaml_helper import load_yaml_text
from dbt.compilation import Linker
from dbt.config.selectors import SelectorConfig
from dbt.contracts.selection import SelectorFile
from dbt.flags import get_flags
from dbt.graph import Graph, ResourceTypeSelector, parse_difference
from dbt.graph.cli import parse_from_selectors_definition
from dbt.task.list import ListTask
from dbt_common.events.contextvars import task_contextvars

from dbt_generated import selections, write_project


def _parsed() -> Any:
    runner = dbtRunner()
    for command in ("deps", "parse"):
        ended = runner.invoke([command, "--quiet", "--no-partial-parse"])
        if not ended.success:
            raise SystemExit(f"dbt {command}: {ended.exception}")
    return ended.result


class _Dbt:
    def __init__(self, folder: Path) -> None:
        self.manifest = _parsed()
        linker = Linker()
        linker.link_graph(self.manifest)
        self.nodes = ResourceTypeSelector(
            graph=Graph(linker.graph),
            manifest=self.manifest,
            previous_state=None,
            resource_types=list(ListTask.ALL_RESOURCE_VALUES),
            include_empty_nodes=True,
        )
        text = (folder / "selectors.yml").read_text()
        self.yaml = SelectorFile.from_dict(load_yaml_text(text))

    def select(self, said: dict[str, str]) -> list[str] | None:
        """What it selects; None if dbt refuses."""
        object.__setattr__(get_flags(), "INDIRECT_SELECTION", said["indirect"])
        try:
            if "selector" in said:
                known = SelectorConfig(parse_from_selectors_definition(self.yaml))
                spec = known[said["selector"]]["definition"]
            else:
                exclude = [said["exclude"]] if "exclude" in said else []
                spec = parse_difference([said["select"]], exclude)
            return sorted(self.nodes.get_selected(spec, warn_on_no_nodes=False))
        except Exception as error:  # noqa: BLE001 -- whatever it is, `dbt ls` fails with it
            if type(error).__module__.startswith(("dbt.", "dbt_common.")):
                return None
            return None


def main() -> None:
    """Write what is asked, and what dbt says to it."""
    count = int(sys.argv[1])
    for number, argument in enumerate(sys.argv[2:]):
        folder, _, seed = argument.rpartition(":")
        if not Path(folder).exists():
            write_project(Path(folder), int(seed))
        os.chdir(folder)
        dbt = _Dbt(Path(folder))
        manifest = json.loads(Path("target/manifest.json").read_text())
        asked = selections(manifest, number, count)
        with task_contextvars(project_root=folder):
            told = [dbt.select(each) for each in asked]
        Path("asked.json").write_text(json.dumps(asked))
        Path("told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
