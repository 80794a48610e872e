"""Count the rows of tables: what to ask dbt, and what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dagweave.dbt.additions.inquiry import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dagweave.dbt.additions.inquiry import Answers

_TABLES_PER_QUERY: Final = 200


class RowCounts:
    """The number of rows in the table of each node, up to 200 tables in a query."""

    def __init__(self, tables: Sequence[tuple[str, str]]) -> None:
        """Ask for nodes, each with its table as dbt quotes it."""
        self._nodes = [node for node, _ in tables]
        self.questions = [
            Rows(
                # Nodes are told apart by number.
                " union all ".join(
                    f"select {at} as node, count(*) as n from {table}"  # noqa: S608 -- as dbt quotes it
                    for at, (_, table) in enumerate(
                        tables[start : start + _TABLES_PER_QUERY], start
                    )
                )
            )
            for start in range(0, len(tables), _TABLES_PER_QUERY)
        ]

    def counted(self, answers: Answers) -> Iterator[tuple[str, int]]:
        """Each node that was counted, with the number of its rows.

        Raises:
            ValueError: An answer is no number.
        """
        for question in self.questions:
            # Some warehouses spell the columns in capitals.
            for node, rows in answers.rows.get(question, [])[1:]:
                yield self._nodes[int(node or "")], int(rows or "")
