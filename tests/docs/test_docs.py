"""Every Python block in the README and the guides runs."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import replace
from pathlib import Path

import pytest

from snippets import ROOT, Prelude, Snippet, blocks, run

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPETS = [snippet for document in DOCUMENTS for snippet in blocks(document)]


# Definitions are put together when Dagster loads them, and that is where most mistakes show.
RESOLVE = """
if "defs" in globals():
    import dagster as _dagster_to_resolve

    _dagster_to_resolve.Definitions.validate_loadable(defs)
"""


def preludes() -> dict[str, Prelude]:
    """All that `preludes_<area>.py` beside this file declare, by name."""
    found: dict[str, Prelude] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("preludes_"):
            declared = importlib.import_module(f"docs.{module.name}").PRELUDES
            found |= {name: Prelude(**prelude) for name, prelude in declared.items()}
    return found


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[snippet.origin for snippet in SNIPPETS])
def test_a_block_of_the_documents_runs(snippet: Snippet, tmp_path: Path):
    named = re.search(r"prelude: *([\w-]+)", snippet.comment)
    prelude = preludes()[named.group(1)] if named else Prelude()

    run(snippet.text, replace(prelude, after=RESOLVE + prelude.after), tmp_path)


def test_every_prelude_is_used():
    named = {name for s in SNIPPETS for name in re.findall(r"prelude: *([\w-]+)", s.comment)}

    assert set(preludes()) == named


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document: Path):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []
