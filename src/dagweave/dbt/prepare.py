"""Make a project ready to be loaded: install its packages, parse it, and not twice for nothing."""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dagweave._dagster.development import using_dagster_dev
from dagweave._kernel.errors import InvalidInput, WaitTimeout
from dagweave.dbt.run import environment, find_dbt, run_to_end

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from dagweave.dbt.project import DbtProject

_LONGEST_PARSE_S: Final = 900.0
_LARGE_FILE_BYTES: Final = 1_000_000
_READ: Final = frozenset({".sql", ".py", ".yml", ".yaml", ".csv", ".md", ".json"})
_SKIPPED: Final = frozenset({".git", "__pycache__", "logs", "node_modules", ".venv", "venv"})
_VARIABLE: Final = re.compile(rb"env_var\s*\(\s*(?:'([^']+)'|\"([^\"]+)\")?")


class DbtProjectPreparer:
    """How a project becomes ready to be loaded. Subclass it to do so in another way."""

    def prepare_if_dev(self, project: DbtProject) -> None:
        """Called by `DbtProject.prepare_if_dev()`. Does nothing."""

    def prepare(self, project: DbtProject) -> None:
        """Make the manifest. Does nothing."""

    def using_dagster_dev(self) -> bool:
        """Whether this process belongs to `dagster dev`."""
        return using_dagster_dev()


class DagsterDbtProjectPreparer(DbtProjectPreparer):
    """Installs the packages of a project and parses it, one process at a time.

    Args:
        prepare_project_cli_args: The dbt command that makes the manifest; by default
            `parse --quiet`.
    """

    def __init__(self, prepare_project_cli_args: Sequence[str] | None = None) -> None:
        self._parse = tuple(prepare_project_cli_args or ("parse", "--quiet"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DagsterDbtProjectPreparer) and self._parse == other._parse

    def __hash__(self) -> int:
        return hash(self._parse)

    def prepare_if_dev(self, project: DbtProject) -> None:
        """In `dagster dev`, prepare the project unless nothing changed since the last time.

        What is compared: the text of all files that dbt reads, the environment variables that they
        name, the profile, and dbt itself.
        """
        if not self.using_dagster_dev():
            return
        with _alone(project):
            now = fingerprint(project, self._parse)
            last = _last(project)
            if now is None or (now, manifest_of(project)) != (last.parsed, last.manifest):
                self._prepare(project)
        if not project.manifest_path.exists():
            raise InvalidInput(
                f"dbt {' '.join(self._parse)} did not make {project.manifest_path}.",
                remedy="Check target_path of the DbtProject and the command it prepares with.",
            )

    def prepare(self, project: DbtProject) -> None:
        """Parse the project whether or not it changed; install its packages if they did."""
        with _alone(project):
            self._prepare(project)

    def _prepare(self, project: DbtProject) -> None:
        if packages_of(project) not in (None, _last(project).installed):
            self._run(project, ("deps", "--quiet"))
        # A file that is saved while dbt parses may or may not have been read.
        before = fingerprint(project, self._parse)
        self._run(project, self._parse)
        done = _Prepared(before, manifest_of(project), packages_of(project))
        # Where it cannot be written, the next time takes as long as this one.
        with suppress(OSError):
            _record(project).write_bytes(msgspec.json.encode(done))

    def _run(self, project: DbtProject, command: Sequence[str]) -> None:
        profile = ("--profile", project.profile) if project.profile else ()
        target = ("--target", project.target) if project.target else ()
        run_to_end(
            [find_dbt(), *command, *profile, *target],
            cwd=project.project_dir,
            env=environment(
                project_dir=project.project_dir,
                target_path=project.manifest_path.parent,
                profiles_dir=project.own_profiles_dir,
            ),
        )


class _Prepared(msgspec.Struct):
    """What was there when a project was last prepared."""

    parsed: str | None = None
    manifest: str | None = None
    installed: str | None = None


def _record(project: DbtProject) -> Path:
    return project.manifest_path.parent / ".dagweave_prepared.json"


def _last(project: DbtProject) -> _Prepared:
    try:
        return msgspec.json.decode(_record(project).read_bytes(), type=_Prepared)
    except (OSError, msgspec.MsgspecError):
        return _Prepared()


def packages_of(project: DbtProject) -> str | None:
    """A value that is equal as long as the packages installed are those wanted; none if none is."""
    wanted = [project.project_dir / f"{name}.yml" for name in ("packages", "dependencies")]
    if not any(file.exists() for file in wanted):
        return None
    files = [*wanted, project.project_dir / "package-lock.yml"]
    digest = hashlib.blake2b()
    for file in files:
        digest.update(file.read_bytes() if file.exists() else b"-")
    there = (project.project_dir / project.packages_install_path).exists()
    return digest.hexdigest() if there else "not installed"


def fingerprint(project: DbtProject, parse: Sequence[str]) -> str | None:
    """A value that is equal as long as parsing again would give the same manifest.

    None if that cannot be known: files lie outside of the project, or the name of an environment
    variable is computed.
    """
    if project.reads_elsewhere:
        return None
    digest = hashlib.blake2b()
    named = {name for name in os.environ if name.startswith("DBT_")}
    for file in sorted(_read_by_dbt(project)):
        content = _content(file)
        digest.update(b"%s\0%d\0%s" % (os.fsencode(file), len(content), content))
        for variable in _VARIABLE.finditer(content):
            name = variable.group(1) or variable.group(2)
            if name is None:
                return None
            named.add(name.decode(errors="replace"))
    variables = [(name, os.environ.get(name)) for name in sorted(named)]
    digest.update(repr((list(parse), project.profile, project.target, variables, _dbt())).encode())
    return digest.hexdigest()


def manifest_of(project: DbtProject) -> str | None:
    """A value that is equal as long as nobody else has written the manifest; none if none is."""
    if not project.manifest_path.exists():
        return None
    status = project.manifest_path.stat()
    return f"{status.st_mtime_ns} {status.st_size}"


def _content(file: Path) -> bytes:
    status = file.stat()
    # What is large is a seed, and dbt does not read those either to see a change.
    return b"%d" % status.st_mtime_ns if status.st_size > _LARGE_FILE_BYTES else file.read_bytes()


def _dbt() -> tuple[object, ...]:
    """What dbt is: its file, and when anything was last installed beside it."""
    dbt = Path(find_dbt())
    beside = dbt.resolve().parent.parent.glob("lib/python*/site-packages")
    return (str(dbt), dbt.stat().st_mtime_ns, *(folder.stat().st_mtime_ns for folder in beside))


def _read_by_dbt(project: DbtProject) -> Iterator[Path]:
    """The files that dbt may read when it parses, those of packages included."""
    # Where dbt looks by itself: https://docs.getdbt.com/docs/core/connect-data-platform/profiles.yml
    elsewhere = Path(os.environ.get("DBT_PROFILES_DIR") or Path.home() / ".dbt")
    if (profiles := (project.own_profiles_dir or elsewhere) / "profiles.yml").exists():
        yield profiles
    target = project.manifest_path.parent
    seen: set[str] = set()
    # Packages on the same disk are links.
    for folder, folders, files in os.walk(project.project_dir, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [
            name
            for name in folders
            if real not in seen and name not in _SKIPPED and Path(folder, name) != target
        ]
        seen.add(real)
        for name in files:
            if name == ".dbtignore" or (Path(name).suffix in _READ and not name.startswith(".")):
                yield Path(folder, name)


@contextmanager
def _alone(project: DbtProject) -> Generator[None]:
    """Within the block, no other process prepares the project."""
    # A dependency of Dagster's own.
    from filelock import FileLock, Timeout

    folder = project.manifest_path.parent
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".dagweave_prepare.lock"
    try:
        with FileLock(lock, timeout=_LONGEST_PARSE_S):
            yield
    except Timeout as error:
        raise WaitTimeout(
            f"Waited {_LONGEST_PARSE_S:g} s for another process that parses {project.project_dir}.",
            remedy=f"If there is none, remove {lock}.",
        ) from error
