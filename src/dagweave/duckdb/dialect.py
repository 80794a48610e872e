"""DuckDB's SQL, its names for databases, and what its messages mean. Knows nothing of Dagster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.redact import redact
from dagweave.warehouse.sql import Dialect
from dagweave.weaving.duckdb_file import catalog_of, fold, one_spelling

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMORY: Final = ":memory:"

# https://duckdb.org/docs/stable/sql/dialect/keywords_and_identifiers
DUCKDB: Final = Dialect(kind="duckdb", fold=fold, casts=True)

# A prefix of two letters or more names what is to be opened; one letter is a drive of Windows.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def is_memory(database: str) -> bool:
    """Whether it is a database in memory, named (`:memory:shared`) or not."""
    return database == "" or database.startswith(MEMORY)


def is_file(database: str) -> bool:
    """Whether it is a path in the file system, and not memory, MotherDuck or another service."""
    return not is_memory(database) and _SCHEME.match(database) is None


def absolute(database: str) -> str:
    """The one spelling of a file, wherever the process goes; anything else as it is."""
    return str(one_spelling(database)) if is_file(database) else database


def catalog_name(database: str) -> str | None:
    """What DuckDB calls a database once it is open; `None` where only the service knows."""
    if is_memory(database):
        return "memory"
    return catalog_of(one_spelling(database)) if is_file(database) else None


_SECRET_OPTION: Final = re.compile("token|secret|password|key|credential", re.IGNORECASE)


def without_secrets(text: str, config: Mapping[str, Any]) -> str:
    """A text without the values of settings that are secret by their name, nor those of a path."""
    named = (str(value) for name, value in config.items() if _SECRET_OPTION.search(name))
    return redact(text, named)


_HOLDER: Final = re.compile(r"held in (?P<command>.+?) \(PID (?P<pid>\d+)\)")


def holder(message: str) -> str:
    """Who has a file open, by DuckDB's own message and by what the system knows of the process."""
    found = _HOLDER.search(message)
    if found is None:
        return "Another part of this process has it open, for reading only or with other settings."
    pid, command = found["pid"], found["command"]
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        pass
    else:
        command = " ".join(part.decode(errors="replace") for part in arguments if part) or command
    return redact(f"Process {pid} has it open: {command}")
