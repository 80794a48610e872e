"""What of the official packages exists here: the list of their names, and the page of the docs.

    python tests/architecture/parity.py                          # prints docs/parity.md anew
    python tests/architecture/parity.py official SITE_PACKAGES   # reads the official packages anew

The official names are read from the source of the packages, so that nothing of theirs is imported.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
OFFICIAL = Path(__file__).with_name("official_names.json")
ABSENT = ROOT / "absent.toml"
PAGE = ROOT / "docs" / "parity.md"

PACKAGES = {
    "bigquery": ["dagster-gcp", "dagster-gcp-pandas", "dagster-gcp-pyspark"],
    "airbyte": ["dagster-airbyte"],
    "dbt": ["dagster-dbt"],
    "databricks": ["dagster-databricks"],
    "dlt": ["dagster-dlt"],
    "duckdb": [
        "dagster-duckdb",
        "dagster-duckdb-pandas",
        "dagster-duckdb-polars",
        "dagster-duckdb-pyspark",
    ],
    "fivetran": ["dagster-fivetran"],
    "pagerduty": ["dagster-pagerduty"],
    "slack": ["dagster-slack"],
    "snowflake": [
        "dagster-snowflake",
        "dagster-snowflake-pandas",
        "dagster-snowflake-polars",
        "dagster-snowflake-pyspark",
    ],
}
"""For each integration that is begun here: the official packages that it replaces."""

WHY = {"later": "not yet", "never": "left out"}
"""For each kind of absence in absent.toml: how the page says it."""


INTRODUCTION = """\
Every public name of the official packages, and whether it is here. A name that is here means the \
same; what it does otherwise, the guide of its integration says.

This page is printed by `python tests/architecture/parity.py` from the code and from `absent.toml`, \
and a test compares it."""


def official() -> dict[str, dict[str, Any]]:
    """For each integration and official package: its version, its names, which are deprecated."""
    return json.loads(OFFICIAL.read_text())


def official_names(integration: str) -> set[str]:
    return {name for package in official()[integration].values() for name in package["names"]}


def absent() -> dict[str, dict[str, dict[str, str]]]:
    """For each integration, for each kind of absence: the names, each with its reason."""
    return tomllib.loads(ABSENT.read_text())


def ours(integration: str) -> set[str]:
    return set(importlib.import_module(f"dagweave.{integration}").__all__)


def page() -> str:
    """The page of the docs, as the list, the absences and the code have it now."""
    lines = ["# Parity with the official packages", "", INTRODUCTION]
    for integration, packages in official().items():
        reasons = {
            name: f"{WHY[kind]}: {reason}"
            for kind, names in absent().get(integration, {}).items()
            for name, reason in names.items()
        }
        here = ours(integration)
        lines += ["", f"## dagweave.{integration}"]
        for package, found in packages.items():
            count = sum(name in here for name in found["names"])
            lines += [
                "",
                f"`{package}` {found['version']}: {count} of {len(found['names'])} names.",
                "",
                "| name | here |",
                "|---|---|",
            ]
            for name in found["names"]:
                said = "yes" if name in here else reasons.get(name, "?")
                there = " (deprecated there)" if name in found["deprecated"] else ""
                lines.append(f"| `{name}`{there} | {said} |")
        if added := sorted(here - official_names(integration)):
            lines += ["", f"Only here: {', '.join(f'`{name}`' for name in added)}."]
    return "\n".join(lines) + "\n"


def read_official(folders: list[Path]) -> dict[str, dict[str, Any]]:
    """The names of the official packages that are installed in some of the folders."""
    return {
        integration: {package: _read_package(package, folders) for package in packages}
        for integration, packages in PACKAGES.items()
    }


def _read_package(package: str, folders: list[Path]) -> dict[str, Any]:
    module = package.replace("-", "_")
    folder = next(each for each in folders if (each / module).is_dir())
    (info,) = folder.glob(f"{module}-*.dist-info/METADATA")
    version = re.search(r"^Version: (.+)$", info.read_text(), re.MULTILINE)
    assert version is not None
    imported = {
        name: (folder, origin)
        for name, origin in _imports(folder / module / "__init__.py", module)
        if not name.startswith("_")
    }
    return {
        "version": version.group(1),
        "names": sorted(imported),
        "deprecated": sorted(
            name
            for name, (folder, origin) in imported.items()
            if _is_deprecated(folder, origin, name)
        ),
    }


def _imports(file: Path, package: str) -> Iterator[tuple[str, str]]:
    """The names that a file imports from a package, and the module that it has each from."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
            for alias in node.names:
                yield alias.asname or alias.name, node.module or ""


def _is_deprecated(folder: Path, module: str, name: str) -> bool:
    """Whether the official package says that a name of it is deprecated or superseded."""
    file = folder / (module.replace(".", "/") + ".py")
    if not file.exists():
        file = folder / module.replace(".", "/") / "__init__.py"
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            words = {ast.unparse(each).partition("(")[0] for each in node.decorator_list}
            return bool(words & {"deprecated", "superseded"})
    origins = dict(_imports(file, module.partition(".")[0]))
    return name in origins and _is_deprecated(folder, origins[name], name)


if __name__ == "__main__":
    if sys.argv[1:2] == ["official"]:
        found = read_official([Path(folder) for folder in sys.argv[2:]])
        OFFICIAL.write_text(json.dumps(found, indent=2) + "\n")
    else:
        PAGE.write_text(page())
