"""Ask dbt what the warehouse holds, once a command has ended: all questions in one command of dbt.

No adapter is loaded into Dagster's process. The questions go as Jinja of `dbt show --inline`, which
has dbt's own connection; each answer is printed as soon as it is known, so that one question that
fails does not lose the others' answers.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from dagweave._kernel.errors import WorkFailed
from dagweave.dbt.trouble import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dagweave.dbt.invocation import DbtCliInvocation

_MARK: Final = "dagweave-answer:"
_NOTHING: Final = "select 1 as nothing"
# Linux takes no argument of more than 128 KiB.
_LONGEST_COMMAND: Final = 100_000
_LONGEST_CELL: Final = 200
_MOST_COLUMNS: Final = 30
_MOST_FAILURES: Final = 2
"""So many questions of a kind may fail before the rest of it is given up: each costs a command."""
_MOST_BARREN: Final = 3
"""So many commands in a row may answer nothing before all is given up."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns has this table? Answered by pairs of name and type; by none if it is gone."""

    database: str | None
    schema: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Rows:
    """What does this query return?

    Answered by the names of the columns, then each row; values are text, or None. With a `limit`,
    no more rows than that are read, and what is long or wide is cut.
    """

    sql: str
    limit: int | None = None


Question: TypeAlias = Columns | Rows


@dataclass
class Answers:
    """What dbt answered, and why it did not answer the rest."""

    columns: dict[Columns, list[tuple[str, str]]] = field(
        default_factory=dict[Columns, list[tuple[str, str]]]
    )
    rows: dict[Rows, list[list[str | None]]] = field(
        default_factory=dict[Rows, list[list[str | None]]]
    )
    error: Exception | None = None

    def knows(self, question: Question) -> bool:
        """Whether a question is answered."""
        return question in (self.columns if isinstance(question, Columns) else self.rows)


def ask(invocation: DbtCliInvocation, questions: Iterable[Question]) -> Answers:
    """Ask dbt, in the project, the target and with the variables of a command that has ended.

    A question that dbt fails on is left out, and the rest is asked again, within bounds. What remains
    without an answer is not an error that is raised: `error` says why, in dbt's own words.
    """
    answers = Answers()
    patience = _Patience()
    waiting = list(dict.fromkeys(questions))
    while waiting and not patience.is_over:
        command = _Command(_fitting(waiting))
        try:
            complaint = command.run(invocation, answers)
        except Exception as error:  # noqa: BLE001 -- what was built is built, asked or not
            complaint = error
        later = waiting[len(command.questions) :]
        unanswered = [each for each in command.questions if not answers.knows(each)]
        if not unanswered:
            waiting = later
            continue
        answers.error = complaint
        if complaint is None:
            what = str(unanswered[0])[:300]
            answers.error = WorkFailed(f"dbt ended well, but did not answer: {what}")
            break
        patience.fails(unanswered[0], nothing=len(unanswered) == len(command.questions))
        waiting = [each for each in (*unanswered[1:], *later) if patience.lasts_for(each)]
    return answers


class _Patience:
    """How many failures are borne. Each costs another command of dbt."""

    def __init__(self) -> None:
        self._failures: Counter[str] = Counter()
        self._barren = 0

    def fails(self, question: Question, *, nothing: bool) -> None:
        """Take note that dbt failed on this question, and whether it had answered `nothing` before."""
        self._failures[_kind(question)] += 1
        self._barren = self._barren + 1 if nothing else 0

    def lasts_for(self, question: Question) -> bool:
        """Whether questions of its kind are asked again."""
        return self._failures[_kind(question)] < _MOST_FAILURES

    @property
    def is_over(self) -> bool:
        """Whether nothing is asked again."""
        return self._barren >= _MOST_BARREN


def _kind(question: Question) -> str:
    if isinstance(question, Columns):
        return "columns"
    return "counts" if question.limit is None else "samples"


def _fitting(questions: Sequence[Question]) -> Sequence[Question]:
    """As many of the questions as one command takes; at least one."""
    length = 0
    for at, question in enumerate(questions):
        parts = (
            (question.sql,)
            if isinstance(question, Rows)
            else (question.database, question.schema, question.name)
        )
        length += sum(len(_literal(part).encode()) + 1 for part in parts) + 10
        if length > _LONGEST_COMMAND and at:
            return questions[:at]
    return questions


class _Command:
    """One `dbt show` with the questions that it answers.

    The first query without a limit is the one that dbt shows; all else is asked before it, in the
    order of the questions.
    """

    def __init__(self, questions: Sequence[Question]) -> None:
        self._columns = [each for each in questions if isinstance(each, Columns)]
        queries = [each for each in questions if isinstance(each, Rows)]
        self._shown = next((each for each in queries if each.limit is None), None)
        self._queries = [each for each in queries if each is not self._shown]
        self.questions: Sequence[Question] = [
            *self._columns,
            *self._queries,
            *([self._shown] if self._shown else []),
        ]
        """In the order in which dbt comes to them."""

    def run(self, invocation: DbtCliInvocation, answers: Answers) -> Exception | None:
        """Take in the answers as they come; return what dbt complained of, if it did."""
        process = invocation.start_again(
            ["show", "--inline", self._inline(), "--output", "json", "--limit", "-1", "--quiet"]
        )
        try:
            for line in process.lines():
                # A strange answer is none.
                with suppress(msgspec.DecodeError, LookupError, TypeError, ValueError):
                    self._take(line, answers)
            code = process.wait()
        finally:
            process.stop()
        return process.trouble.error(process.command, code)

    def _inline(self) -> str:
        shown = self._shown.sql if self._shown else _NOTHING
        tables = "".join(
            f"({at},{_literal(each.database)},{_literal(each.schema)},{_literal(each.name)}),"
            for at, each in enumerate(self._columns)
        )
        queries = "".join(
            f"({at},{_literal(each.sql)},{-1 if each.limit is None else each.limit}),"
            for at, each in enumerate(self._queries)
        )
        asked = (_ASK_COLUMNS % tables if tables else "") + (_ASK_ROWS % queries if queries else "")
        return f"{{%- if execute -%}}{asked}{{%- endif -%}}{shown}" if asked else shown

    def _take(self, line: bytes, answers: Answers) -> None:
        if _MARK.encode() in line:
            text = line.decode()
            if line.startswith(b"{"):
                text = str(decode(line)["info"]["msg"])
            kind, at, told = msgspec.json.decode(text.partition(_MARK)[2].strip())
            if kind == "columns":
                answers.columns[self._columns[at]] = [
                    (str(name), str(type_)) for name, type_ in told
                ]
            else:
                answers.rows[self._queries[at]] = told
        elif self._shown is not None and b"ShowNode" in line:
            event: Any = decode(line)
            if event["info"]["name"] == "ShowNode":
                answers.rows[self._shown] = list(_table(event["data"]["preview"]))


def _table(preview: str) -> Iterator[list[str | None]]:
    rows = msgspec.json.decode(preview, type=list[dict[str, Any]])
    yield list(rows[0]) if rows else []
    for row in rows:
        yield [None if value is None else str(value) for value in row.values()]


_ASK_COLUMNS: Final = (
    "{%%- for at, database, schema, name in [%s] -%%}"
    # Of a table that is gone, some databases say that it has no columns, others fail.
    "{%%- set table = adapter.get_relation(database=database, schema=schema, identifier=name) -%%}"
    "{%%- set told = [] -%%}"
    "{%%- for c in (adapter.get_columns_in_relation(table) if table else []) -%%}"
    # dbt calls a text without a length one of 256 characters.
    "{%%- set plain = c.is_string() and c.char_size is none -%%}"
    "{%%- do told.append([c.name, c.dtype if plain else c.data_type]) -%%}"
    "{%%- endfor -%%}"
    f'{{%%- do print("{_MARK}" ~ tojson(["columns", at, told])) -%%}}'
    "{%%- endfor -%%}"
)
_ASK_ROWS: Final = (
    "{%%- for at, query, limit in [%s] -%%}"
    "{%%- set table = run_query(query if limit < 0 else get_show_sql(query, none, limit)) -%%}"
    f"{{%%- set told = [table.column_names[:{_MOST_COLUMNS}] | list] -%%}}"
    "{%%- for row in table.rows -%%}"
    "{%%- set cells = [] -%%}"
    f"{{%%- for value in row.values()[:{_MOST_COLUMNS}] -%%}}"
    f"{{%%- do cells.append(none if value is none else (value | string)[:{_LONGEST_CELL}]) -%%}}"
    "{%%- endfor -%%}"
    "{%%- do told.append(cells) -%%}"
    "{%%- endfor -%%}"
    f'{{%%- do print("{_MARK}" ~ tojson(["rows", at, told])) -%%}}'
    "{%%- endfor -%%}"
)

# What could open or close a block of Jinja, for whoever looks for blocks before reading text.
_BRACES: Final[Mapping[int, str]] = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "{}%#"})


def _literal(value: str | None) -> str:
    """A text as Jinja writes it; a JSON text is one, if what is beyond 16 bits is left as it is."""
    return "none" if value is None else msgspec.json.encode(value).decode().translate(_BRACES)
