"""Find and load definitions as `dagster` does: `-m`, `-f`, `-w`, or what the project declares."""

from __future__ import annotations

import logging
import sys
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dagster import DagsterError

from dagweave._dagster import private
from dagweave._kernel.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import RepositoryDefinition


@dataclass(frozen=True, slots=True)
class Target:
    """Where definitions are. With nothing given, what `workspace.yaml` or `pyproject.toml` say."""

    modules: tuple[str, ...] = ()
    python_files: tuple[str, ...] = ()
    workspaces: tuple[str, ...] = ()
    working_directory: str | None = None
    attribute: str | None = None


def load_repositories(target: Target) -> Iterator[tuple[str, RepositoryDefinition]]:
    """Load the definitions of each code location into this process, with the location's name.

    Raises:
        InvalidInput: Nothing is found there, or it does not load; carries the cause.
    """
    try:
        for origin in private.code_location_origins(
            modules=target.modules,
            python_files=target.python_files,
            workspaces=target.workspaces,
            working_directory=target.working_directory,
            attribute=target.attribute,
        ):
            for repository in private.load_in_process(origin, [sys.executable, "-m", "dagster"]):
                yield origin.location_name, repository
    except (DagsterError, *private.USAGE_ERRORS, ImportError, OSError) as error:
        logging.getLogger("dagweave").debug("Definitions did not load", exc_info=True)
        cause = error.__cause__ or error
        seen = f"{type(cause).__name__}: {cause}"
        if place := _place(cause):
            seen, remedy = f"{seen}\n{place}", "With DAGWEAVE_LOG=debug, the traceback is shown."
        else:
            remedy = "Name them as for `dagster dev`: -m MODULE, -f FILE or -w WORKSPACE_FILE."
        raise InvalidInput(
            "The definitions could not be loaded.", seen=seen, remedy=remedy
        ) from error


def _place(error: BaseException) -> str | None:
    """The last line of the user's own code that was reached, if any was."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    others = (*sysconfig.get_paths().values(), str(Path(__file__).parents[1]), "<")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(others):
            return f"{frame.filename}, line {frame.lineno}"
    return None
