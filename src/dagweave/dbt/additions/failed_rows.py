"""The rows that a test found fault with, as a table in Markdown that stays small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dagweave.dbt.additions.inquiry import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagweave.dbt.additions.artifacts import Artifacts
    from dagweave.dbt.additions.inquiry import Answers

_MOST_TESTS: Final = 100
_MOST_COLUMNS: Final = 20
_LONGEST_CELL: Final = 80
_LONGEST_TABLE: Final = 10_000


class FailedRows:
    """The failing rows of some tests, each with the number of them that dbt counted."""

    def __init__(self, artifacts: Artifacts, failed: Mapping[str, int], limit: int) -> None:
        self._failed = failed
        self._limit = limit
        self._asked: dict[str, Rows] = {}
        for test in list(failed)[:_MOST_TESTS]:
            stored = artifacts.stored_rows(test)
            sql = f"select * from {stored}" if stored else artifacts.sql(test)  # noqa: S608 -- as dbt quotes it
            if sql:
                self._asked[test] = Rows(sql.rstrip().rstrip(";"), limit)

    @property
    def questions(self) -> Sequence[Rows]:
        """Where the rows are: in the table that dbt stored them in, else what the test selects."""
        return list(self._asked.values())

    def tables(self, answers: Answers) -> Iterator[tuple[str, str]]:
        """For each test whose rows are known: the table."""
        for test, question in self._asked.items():
            told = answers.rows.get(question)
            if told and told[1:]:
                yield test, _markdown(told[0], told[1 : self._limit + 1], self._failed[test])

    @property
    def left_out(self) -> int:
        """How many tests were not asked, since too many failed."""
        return max(0, len(self._failed) - _MOST_TESTS)


def _markdown(
    columns: Sequence[str | None], rows: Sequence[Sequence[str | None]], failed: int
) -> str:
    shown = columns[:_MOST_COLUMNS]
    lines = [_line(shown), _line(["---"] * len(shown), as_is=True)]
    length = sum(map(len, lines))
    count = 0
    for row in rows:
        line = _line(row[:_MOST_COLUMNS])
        length += len(line) + 1
        if length > _LONGEST_TABLE:
            break
        lines.append(line)
        count += 1
    told = f"{count} of {failed:,} failures" if failed > count else ""
    wide = len(columns) > _MOST_COLUMNS
    told = ", ".join([*([told] if told else []), *(["the first columns"] if wide else [])])
    return "\n".join([*lines, *(["", f"*{told}*"] if told else [])])


def _line(cells: Sequence[str | None], *, as_is: bool = False) -> str:
    return "| " + " | ".join(cell or "" if as_is else _cell(cell) for cell in cells) + " |"


def _cell(value: str | None) -> str:
    if value is None:
        return "*null*"
    text = " ".join(value.split())
    text = text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"
    # What Markdown would read otherwise than it stands there.
    for sign in "\\|`*_<>[]":
        text = text.replace(sign, f"\\{sign}")
    return text
