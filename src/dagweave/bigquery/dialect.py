"""BigQuery's SQL, and what it takes as a name or a label. Knows nothing of Dagster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse.sql import Dialect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ODD_NAMES: Final = (
    "BigQuery takes letters, digits and underscores in the name of a dataset; letters, digits, "
    "spaces, dashes and connectors in that of a table; and in that of a column anything but "
    '!"$()*,./;?@[\\]^`{}~.'
)


def fold(name: str) -> str:
    """One spelling for all that BigQuery holds for the same column."""
    return name.lower()


class BigQueryDialect(Dialect):
    """BigQuery's SQL."""

    __slots__ = ()

    def quote(self, identifier: str) -> str:
        """Write an identifier. A backslash escapes in one, as in a text.

        Raises:
            InvalidInput: BigQuery takes no such name for anything.
        """
        if not identifier or re.search(r"[\0\\`\n\r]", identifier):
            raise InvalidInput(
                f"{identifier!r} cannot be the name of a dataset, table or column.", seen=ODD_NAMES
            )
        return f"`{identifier}`"

    def literal(self, value: object) -> str:
        """Write a value as SQL. A backslash escapes in a text, and a line may not end in one."""
        if not isinstance(value, str):
            # Without the arguments, `super` does not find its way in a class with slots.
            return Dialect.literal(self, value)
        for mark, written in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r")):
            value = value.replace(mark, written)
        return f"'{value}'"


# https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical
# https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax#merge_statement
BIGQUERY: Final = BigQueryDialect(
    kind="bigquery",
    fold=fold,
    quote_mark="`",
    text="STRING",
    timestamp="DATETIME",
    timestamp_tz="TIMESTAMP",
    comment="ALTER TABLE {table} ALTER COLUMN {column} SET OPTIONS (description = {text})",
    creates_first=True,
    merge_replaces=True,
    retypes=False,
    # A join by anything but an equality is refused, or takes for ever; this one holds for nulls, too.
    same="IFNULL(TO_JSON_STRING({a}), 'null') = IFNULL(TO_JSON_STRING({b}), 'null')",
)

# https://cloud.google.com/bigquery/docs/datasets#dataset-naming
_DATASET: Final = r"[A-Za-z0-9_]{1,1024}"
# https://cloud.google.com/bigquery/docs/tables#table_naming
_TABLE: Final = r"[\w \-\u2010-\u2015]+"
# https://cloud.google.com/bigquery/docs/schemas#flexible-column-names
_NOT_IN_COLUMN: Final = r"""[!"$()*,./;?@\[\\\]^`{}~\0]"""
_LONGEST: Final = {"table": 1024, "column": 300}


def require_dataset(name: str | None) -> None:
    """Refuse what BigQuery does not take as the name of a dataset.

    Raises:
        InvalidInput: Says what it takes.
    """
    if name is not None and not re.fullmatch(_DATASET, name):
        raise _refused("dataset", name)


def require_table(name: str) -> None:
    """Refuse what BigQuery does not take as the name of a table.

    Raises:
        InvalidInput: Says what it takes.
    """
    if not re.fullmatch(_TABLE, name) or len(name.encode()) > _LONGEST["table"]:
        raise _refused("table", name)


def require_columns(names: Iterable[str]) -> None:
    """Refuse what BigQuery does not take as the name of a column.

    Raises:
        InvalidInput: Says what it takes.
    """
    for name in names:
        if re.search(_NOT_IN_COLUMN, name) or len(name) > _LONGEST["column"]:
            raise _refused("column", name)


def _refused(what: str, name: str) -> InvalidInput:
    return InvalidInput(
        f"BigQuery has no {what} that is called {name!r}.",
        seen=ODD_NAMES,
        remedy="Choose another name: of a dataset or table by the asset's metadata (schema, table) "
        "or key; of a column before you return the frame."
        if what != "dataset"
        else "Say another one in the metadata of the asset (schema), or in the I/O manager (dataset).",
    )


def as_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels as BigQuery takes them: at most 63 lower-case letters, digits, dashes, underscores.

    https://cloud.google.com/bigquery/docs/labels-intro#requirements
    """
    return {_label(key): _label(value) for key, value in labels.items() if key}


def _label(text: str) -> str:
    return re.sub(r"[^\w-]", "_", text.lower())[:63]
