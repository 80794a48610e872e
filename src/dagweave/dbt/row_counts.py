"""Let dbt count the rows of tables, so that no adapter is loaded into Dagster's process."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dagweave.dbt.trouble import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dagweave.dbt.invocation import DbtCliInvocation
    from dagweave.dbt.run import DbtProcess

_TABLES_PER_QUERY: Final = 200


def count_rows(invocation: DbtCliInvocation, nodes: Sequence[str]) -> Iterator[dict[str, int]]:
    """The number of rows in the table of each node, where the command built it, some at a time.

    Raises:
        WorkFailed: dbt could not count; says why in its own words.
    """
    for start in range(0, len(nodes), _TABLES_PER_QUERY):
        # Nodes are told apart by number.
        some = [
            (at, node, relation)
            for at, node in enumerate(nodes[start : start + _TABLES_PER_QUERY])
            if (relation := invocation.relation(node))
        ]
        if some:
            query = " union all ".join(
                f"select {at} as node, count(*) as n from {relation}"  # noqa: S608 -- as dbt quotes it
                for at, _, relation in some
            )
            ids = {at: node for at, node, _ in some}
            yield {ids[at]: rows for at, rows in _ask(invocation, query)}


def _ask(invocation: DbtCliInvocation, query: str) -> Iterator[tuple[int, int]]:
    process: DbtProcess = invocation.start_again(
        ["show", "--inline", query, "--output", "json", "--limit", "-1", "--quiet"]
    )
    rows: list[dict[str, Any]] = []
    try:
        for line in process.lines():
            with suppress(msgspec.DecodeError, KeyError, TypeError):
                event: Any = decode(line)
                if event["info"]["name"] == "ShowNode":
                    rows = msgspec.json.decode(event["data"]["preview"], type=list[dict[str, Any]])
        code = process.wait()
    finally:
        process.stop()
    if error := process.trouble.error(process.command, code):
        raise error
    for row in rows:
        # Some warehouses spell the columns in capitals.
        node, count = row.values()
        yield int(node), int(count)
