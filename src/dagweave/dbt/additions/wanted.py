"""What a user asks to be added. Apart, since what adds it is imported only then."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """What is to be added."""

    row_counts: bool = False
    columns: bool = False
    lineage: bool = False
    failed_rows: int = 0
    """Of each test, no more than this."""
    compiled_sql: bool = False
