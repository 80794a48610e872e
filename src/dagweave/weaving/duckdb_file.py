"""What DuckDB calls the database in a file: both who loads into it and who reads it must know."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Final

# DuckDB's own databases; a file of that name is attached under another.
# https://github.com/duckdb/duckdb/blob/main/src/main/attached_database.cpp
_TAKEN: Final = frozenset({"main", "system", "temp"})

_ASCII_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(identifier: str) -> str:
    """Two identifiers are one to DuckDB if they fold to the same: only A to Z have no case."""
    return identifier.translate(_ASCII_LOWER)


def one_spelling(file: str) -> Path:
    """The absolute path of a file, by which two ways of writing it are one location."""
    return Path(file).expanduser().resolve()


def catalog_of(file: Path) -> str:
    """The name of the database in a file: the file's name up to the first dot."""
    stem = file.name.lstrip(".").partition(".")[0]
    return f"{stem}_db" if fold(stem) in _TAKEN else stem
