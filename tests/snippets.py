"""Run a piece of Python from a document, as its reader would: in a folder, as a module."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent

MATERIALIZE = """

import dagster as _dagster
_job = _dagster.Definitions.get_implicit_global_asset_job_def(defs)
_partitions = _job.partitions_def
_result = _job.execute_in_process(
    instance=_dagster.DagsterInstance.ephemeral(),
    partition_key=_partitions.get_first_partition_key() if _partitions else None,
)
assert _result.success
print(*sorted(e.asset_key.to_user_string() for e in _result.get_asset_materialization_events()))
"""


@dataclass(frozen=True)
class Snippet:
    """A fenced block: where it stands, what precedes it, what it says."""

    origin: str
    language: str
    text: str
    comment: str = ""


@dataclass(frozen=True)
class Prelude:
    """What a block leaves out: names and imports, environment variables, files beside it.

    `after` is Python appended to the block; `materialize` runs all assets of its `defs` and expects
    them to succeed; `expect` must stand in what it prints.
    """

    code: str = ""
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    after: str = ""
    materialize: bool = False
    expect: str = ""


def blocks(document: Path, language: str = "python") -> list[Snippet]:
    """The fenced blocks of a document in the given language, with the comment just above each."""
    found: list[Snippet] = []
    comment = ""
    for token in MarkdownIt().parse(document.read_text()):
        if token.type == "html_block":
            comment = token.content.strip()
        elif token.type == "fence":
            if token.info.split(" ")[0] == language:
                line = (token.map or [0])[0] + 1
                found.append(Snippet(f"{document.name}:{line}", language, token.content, comment))
            comment = ""
        elif token.type.endswith("_open"):
            comment = ""
    return found


def run(snippet: str, prelude: Prelude, folder: Path) -> str:
    """Run the block in `folder`, prelude first; return what it printed. Fails with its error."""
    for name, text in prelude.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    parts = [prelude.code, snippet, prelude.after, MATERIALIZE if prelude.materialize else ""]
    module = folder / "snippet.py"
    module.write_text("\n".join(parts))
    # dlt remembers by pipeline where it first ran, and would write its DuckDB file there.
    homes = {"DAGSTER_IS_DEV_CLI": "1", "DLT_DATA_DIR": str(folder / ".dlt-data")}
    env = os.environ | homes | prelude.env
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:snippet", str(module)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    assert prelude.expect in done.stdout + done.stderr
    return done.stdout
