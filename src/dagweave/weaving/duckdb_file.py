"""What DuckDB says of a file: both who loads into it and who reads it must know."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Final

from dagweave._kernel.errors import InvalidInput

# DuckDB's own databases; a file of that name is attached under another.
# https://github.com/duckdb/duckdb/blob/main/src/main/attached_database.cpp
_TAKEN: Final = frozenset({"main", "system", "temp"})

_ASCII_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(identifier: str) -> str:
    """Two identifiers are one to DuckDB if they fold to the same: only A to Z have no case."""
    return identifier.translate(_ASCII_LOWER)


def one_spelling(file: str) -> Path:
    """The absolute path of a file, by which two ways of writing it are one location.

    Raises:
        InvalidInput: It starts with the home of a user (`~ann`) that there is not.
    """
    try:
        return Path(file).expanduser().resolve()
    except RuntimeError as error:
        raise InvalidInput(
            f"{file!r} is not the path of a file.", seen=str(error), remedy="Write it in full."
        ) from error


def catalog_of(file: Path) -> str:
    """The name of the database in a file: the file's name up to the first dot."""
    stem = file.name.lstrip(".").partition(".")[0]
    return f"{stem}_db" if fold(stem) in _TAKEN else stem


_LOCKED: Final = (
    "Could not set lock on file",
    "being used by another process",
    # Another connection of this very process has the file open, for reading only or with others
    # of the settings that belong to the whole database.
    "different configuration than existing connections",
)


def is_locked(message: str) -> bool:
    """Whether a failure to open a file says that somebody else has it open."""
    return any(sign in message for sign in _LOCKED)
