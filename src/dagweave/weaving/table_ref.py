"""Name a physical table, and tell whether two names mean the same one.

A warehouse stores each identifier in one spelling and folds what is written without quotes. A
`TableRef` holds the stored spelling, so that `"RAW"."ISSUES"` and `raw.issues` are one table in
Snowflake and two in BigQuery.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dagster import TextMetadataValue

from dagweave._dagster.metadata import (
    LOOSE_TABLE_NAME,
    STORAGE_KIND,
    STORAGE_LOCATION,
    TABLE_NAME,
)
from dagweave._kernel.errors import InvalidInput
from dagweave.weaving.duckdb_file import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class CaseRule:
    """How a warehouse stores and compares identifiers."""

    fold_unquoted: Callable[[str], str]
    compare: Callable[[str], str]


def _as_is(name: str) -> str:
    return name


_INSENSITIVE = CaseRule(fold_unquoted=_as_is, compare=str.casefold)

CASE_RULES: Final[Mapping[str, CaseRule]] = {
    # https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#case_sensitivity
    "bigquery": CaseRule(fold_unquoted=_as_is, compare=_as_is),
    # https://docs.databricks.com/aws/en/sql/language-manual/sql-ref-identifiers
    "databricks": _INSENSITIVE,
    # https://duckdb.org/docs/stable/sql/dialect/keywords_and_identifiers
    "duckdb": CaseRule(fold_unquoted=_as_is, compare=fold),
    # https://www.postgresql.org/docs/current/sql-syntax-lexical.html
    "postgres": CaseRule(fold_unquoted=str.lower, compare=_as_is),
    "redshift": CaseRule(fold_unquoted=str.lower, compare=str.casefold),
    # https://docs.snowflake.com/en/sql-reference/identifiers-syntax
    "snowflake": CaseRule(fold_unquoted=str.upper, compare=_as_is),
}
"""By storage kind. A kind that is not listed is compared without regard to case."""

# Other names of the same warehouse: dlt's and dbt's spellings.
_SYNONYMS: Final = {"motherduck": "duckdb", "postgresql": "postgres", "spark": "databricks"}

_PLAIN_PART = re.compile(r"[^\s.\"`\[\]]+")
_QUOTED_PART = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|\[([^\]]+)\]')
# https://docs.getdbt.com/reference/project-configs/quoting
_ALL_QUOTED = re.compile(r'(?:"[^"]+"\.){0,2}"[^"]+"')


@dataclass(frozen=True, slots=True)
class TableRef:
    """A table in a warehouse, in the spelling that the warehouse stores.

    `schema`, `database`, `kind` (`duckdb`, `snowflake`, …) and `location` (which warehouse of its
    kind: a file, an account) are `None` where they are not known.
    """

    name: str
    schema: str | None = None
    database: str | None = None
    kind: str | None = None
    location: str | None = None

    @classmethod
    def parse(cls, text: str, *, kind: str | None = None, location: str | None = None) -> TableRef:
        """Read `database.schema.table`, `schema.table` or `table`, quoted or not.

        Double quotes, backticks and brackets quote. Parts without quotes are folded as the
        warehouse of that `kind` folds them. A name of four parts or more keeps the last three.

        Raises:
            InvalidInput: `text` is not a table name.
        """
        kind = canonical_kind(kind)
        if _ALL_QUOTED.fullmatch(text):
            # What dbt and our own tables write, by the thousand.
            database, schema, name = ([None, None, *text[1:-1].split('"."')])[-3:]
            return cls(name or "", schema, database, kind, location)
        fold = _rule(kind).fold_unquoted
        parts: list[str] = []
        at = 0
        text = text.strip()
        while True:
            if quoted := _QUOTED_PART.match(text, at):
                parts.append(_unquoted(quoted))
                at = quoted.end()
            elif plain := _PLAIN_PART.match(text, at):
                parts.append(fold(plain.group()))
                at = plain.end()
            else:
                raise InvalidInput(
                    f"{text!r} is not the name of a table.",
                    seen=f"Position {at} starts neither a plain nor a quoted identifier.",
                    remedy='Write database.schema.table; quote a part that has dots or spaces: "my db".main.t',
                )
            if at == len(text):
                break
            if text[at] != ".":
                raise InvalidInput(
                    f"{text!r} is not the name of a table.",
                    seen=f"Position {at} should be a dot, and is {text[at]!r}.",
                )
            at += 1
        missing: list[str | None] = [None, None, None]
        database, schema, name = (missing + list(parts))[-3:]
        return cls(name or "", schema, database, kind, location)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> TableRef | None:
        """Read the table that an asset or a dependency names in its metadata, if it names one.

        Raises:
            InvalidInput: It names one that cannot be read.
        """
        text = _text(metadata.get(TABLE_NAME)) or _text(metadata.get(LOOSE_TABLE_NAME))
        if not text:
            return None
        return cls.parse(
            text,
            kind=_text(metadata.get(STORAGE_KIND)),
            location=_text(metadata.get(STORAGE_LOCATION)),
        )

    def to_metadata(self) -> dict[str, str]:
        """The metadata that names this table, for an asset or a dependency."""
        named = {TABLE_NAME: str(self), STORAGE_KIND: self.kind, STORAGE_LOCATION: self.location}
        return {key: value for key, value in named.items() if value is not None}

    def same_table_as(self, other: TableRef) -> bool:
        """Whether both can be the same table: equal wherever both are known.

        The table's name must be known and equal, and so must the schema if either names one.
        """
        kinds_agree = self.kind is None or other.kind is None or self.kind == other.kind
        if not kinds_agree or not _agree(self.location, other.location, _as_is):
            return False
        compare = _rule(self.kind or other.kind).compare
        return (
            compare(self.name) == compare(other.name)
            and compare(self.schema or "") == compare(other.schema or "")
            and _agree(self.database, other.database, compare)
        )

    def __str__(self) -> str:
        """`database.schema.table`, quoted where the warehouse would read it otherwise."""
        fold = _rule(self.kind).fold_unquoted
        parts = (part for part in (self.database, self.schema, self.name) if part is not None)
        return ".".join(part if _is_plain(part, fold) else _quoted(part) for part in parts)


def canonical_kind(kind: str | None) -> str | None:
    """The one name of a kind of warehouse: `motherduck` is `duckdb`, `dagster/x` is nothing new."""
    return _SYNONYMS.get(kind.lower(), kind.lower()) if kind else None


def _rule(kind: str | None) -> CaseRule:
    return CASE_RULES.get(kind or "", _INSENSITIVE)


def _agree(left: str | None, right: str | None, compare: Callable[[str], str]) -> bool:
    return left is None or right is None or compare(left) == compare(right)


def _is_plain(part: str, fold: Callable[[str], str]) -> bool:
    return _PLAIN_PART.fullmatch(part) is not None and fold(part) == part


def _quoted(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'


def _unquoted(match: re.Match[str]) -> str:
    double, backtick, bracket = match.groups()
    if double is not None:
        return double.replace('""', '"')
    return backtick.replace("``", "`") if backtick is not None else bracket


def _text(value: object) -> str | None:
    if isinstance(value, TextMetadataValue):
        return value.text
    return value if isinstance(value, str) else None
