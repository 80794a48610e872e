"""Every Python block in the README and the guides runs."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from snippets import ROOT, Prelude, Snippet, blocks, run

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPETS = [snippet for document in DOCUMENTS for snippet in blocks(document)]


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

    run(snippet.text, preludes()[named.group(1)] if named else Prelude(), tmp_path)


def test_every_prelude_is_used():
    named = {name for s in SNIPPETS for name in re.findall(r"prelude: *([\w-]+)", s.comment)}

    assert set(preludes()) == named


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document: Path):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []
