"""What a dbt project stands on: dbt itself and its adapter, the profile, the files. Runs nothing."""

from __future__ import annotations

import hashlib
import os
import re
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import yaml

from dagweave._kernel.errors import DagweaveError
from dagweave.dbt.project import PROFILES_FILE, PROJECT_FILE
from dagweave.dbt.run import find_dbt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagweave.dbt.manifest import Manifest
    from dagweave.dbt.project import DbtProject

Trouble = tuple[Literal["error", "warning", "note"], str, str | None]
"""How bad, what, and what to do."""

_OLDEST: Final = (1, 8)
_NEWEST: Final = (1, 12)
_PARSED: Final = {
    "model-paths": "models",
    "seed-paths": "seeds",
    "snapshot-paths": "snapshots",
    "test-paths": "tests",
    "macro-paths": "macros",
    "analysis-paths": "analyses",
    "function-paths": "functions",
}
_READ: Final = frozenset({".sql", ".py", ".yml", ".yaml", ".csv"})
_PROJECT_FILES: Final = (PROJECT_FILE, "packages.yml", "dependencies.yml", "selectors.yml")


def dbt_versions(manifest: Manifest | None) -> Iterator[Trouble]:
    """Which dbt would run, with which adapters, and whether they fit the manifest."""
    try:
        executable = find_dbt()
    except DagweaveError as error:
        yield "error", error.what, error.remedy
        return
    found = _dbt_packages(executable)
    said = ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
    yield (
        "note",
        f"dbt is {executable}: {said or 'no package of Python, so probably Fusion'}.",
        None,
    )
    core = found.get("dbt-core")
    if core is None:
        return
    if not _OLDEST <= _minor(core) <= _NEWEST:
        yield "warning", f"dbt-core {core} is not one that Dagweave is tested with.", "1.8 to 1.12"
    if manifest is None:
        return
    about: Mapping[str, Any] = manifest.get("metadata") or {}
    wrote = str(about.get("dbt_version") or "")
    if wrote and _minor(wrote) != _minor(core):
        what = f"The manifest was made by dbt {wrote}, but dbt-core {core} would run."
        yield "warning", what, "Parse the project again: dbt parse"
    adapter = f"dbt-{manifest.adapter_type}"
    if manifest.adapter_type and adapter not in found:
        what = f"The manifest is for {adapter}, which is not installed beside {executable}."
        yield "error", what, f"Install it: pip install {adapter}"


def _dbt_packages(executable: str) -> dict[str, str]:
    """The packages of dbt that are installed where its executable is."""
    home = Path(executable).resolve().parent.parent
    folders = [str(folder) for folder in home.glob("lib/python*/site-packages")]
    installed = distributions(path=[*folders, str(home / "Lib" / "site-packages")])
    names = ((re.sub(r"[-_.]+", "-", each.name).lower(), each.version) for each in installed)
    plumbing = {"dbt-common", "dbt-adapters", "dbt-extractor", "dbt-protos"}
    return {
        name: version
        for name, version in names
        if name.startswith("dbt-") and name not in plumbing and "semantic" not in name
    }


def _minor(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def profile_troubles(project: DbtProject, manifest: Manifest | None) -> Iterator[Trouble]:
    """Whether the profile and the target are there. Shows nothing of what the profile says."""
    elsewhere = Path(os.environ.get("DBT_PROFILES_DIR") or Path.home() / ".dbt")
    file = (project.own_profiles_dir or elsewhere) / PROFILES_FILE
    wanted = project.profile or _mapping(project.project_dir / PROJECT_FILE).get("profile")
    if not file.exists():
        yield "error", f"There is no {file}.", "Put a profiles.yml into the project, or say where."
        return
    profiles = _mapping(file)
    profile = profiles.get(str(wanted))
    if not isinstance(profile, dict):
        names = ", ".join(sorted(set(profiles) - {"config"})) or "none that can be read"
        yield "error", f"{file} has no profile {wanted!r}. It has: {names}.", None
        return
    said = cast("dict[str, Any]", profile)
    target = str(project.target or said.get("target") or "default")
    if "{{" in target:
        yield "note", f"The target of profile {wanted!r} is computed, and not looked at.", None
        return
    outputs: dict[str, Any] = said.get("outputs") or {}
    if target not in outputs:
        names = ", ".join(sorted(outputs)) or "none"
        yield "error", f"Profile {wanted!r} has no target {target!r}. It has: {names}.", None
        return
    kind = str(outputs[target].get("type"))
    yield "note", f"The profile is {wanted!r} of {file}, target {target!r} ({kind}).", None
    if manifest and manifest.adapter_type not in (None, kind):
        what = f"The manifest was made for {manifest.adapter_type}, but the target is of {kind}."
        yield "warning", what, "Parse the project again, with this target: dbt parse --target ..."


def _mapping(file: Path) -> dict[str, Any]:
    """What a file of YAML says; nothing, if it is none."""
    try:
        content: object = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def newer_files(project: DbtProject, manifest: Manifest) -> list[str]:
    """The files of the project that the manifest does not know as they are now.

    A file counts if it is newer than the manifest, unless its content is what dbt has seen; and one
    that the manifest names but is gone. Only content tells for SQL; for YAML, the time alone.
    """
    made = project.manifest_path.stat().st_mtime_ns
    known: dict[str, str | None] = {}
    for id_ in manifest.ids("nodes"):
        node = manifest.node(id_)
        if node.package_name == manifest.project_name:
            digest = (
                node.checksum if isinstance(node.checksum, str | None) else node.checksum.checksum
            )
            known[node.original_file_path] = known.get(node.original_file_path) or digest
    changed = {
        path
        for path, file in _files(project)
        if file.stat().st_mtime_ns > made and known.get(path) not in _digests(file)
    }
    gone = {path for path in known if not (project.project_dir / path).exists()}
    return sorted(changed) + [f"{path} (gone)" for path in sorted(gone)]


def _files(project: DbtProject) -> Iterator[tuple[str, Path]]:
    settings = _mapping(project.project_dir / PROJECT_FILE)
    for name in _PROJECT_FILES:
        if (project.project_dir / name).exists():
            yield name, project.project_dir / name
    for setting, default in _PARSED.items():
        folders: Any = settings.get(setting) or [default]
        for folder in cast("list[str]", folders if isinstance(folders, list) else [folders]):
            for file in (project.project_dir / folder).rglob("*"):
                if file.suffix in _READ and file.is_file():
                    yield str(file.relative_to(project.project_dir)), file


def _digests(file: Path) -> set[str | None]:
    """What dbt may have noted of the content of a file: of SQL without the space around it."""
    content = file.read_bytes()
    texts = (content, content.decode("utf-8", "replace").strip().encode())
    return {hashlib.sha256(text).hexdigest() for text in texts}
