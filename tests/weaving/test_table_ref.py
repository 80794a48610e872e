from __future__ import annotations

import pytest
from dagster import MetadataValue
from hypothesis import assume, given
from hypothesis import strategies as st

from dagweave._kernel.errors import InvalidInput
from dagweave.weaving import TableRef

kinds = st.sampled_from(
    ["duckdb", "snowflake", "bigquery", "databricks", "postgres", "redshift", "oracle", None]
)
identifiers = st.text(min_size=1, max_size=12)


@given(st.lists(identifiers, min_size=1, max_size=3), kinds)
def test_a_name_reads_back_as_it_was_written_whatever_is_in_it(parts: list[str], kind: str | None):
    database, schema, name = [*[None] * (3 - len(parts)), *parts]
    table = TableRef(name or "", schema, database, kind)

    assert TableRef.parse(str(table), kind=kind) == table


@given(identifiers, identifiers, kinds)
def test_being_the_same_table_is_symmetric_and_reflexive(a: str, b: str, kind: str | None):
    left, right = TableRef(a, b, kind=kind), TableRef(b, a, kind=kind)

    assert left.same_table_as(left)
    assert left.same_table_as(right) == right.same_table_as(left)


@given(identifiers, identifiers)
def test_tables_of_different_kinds_of_warehouse_are_never_the_same(name: str, schema: str):
    assert not TableRef(name, schema, kind="duckdb").same_table_as(
        TableRef(name, schema, kind="snowflake")
    )


@pytest.mark.parametrize(
    ("kind", "left", "right", "same"),
    [
        ("snowflake", "raw.issues", '"RAW"."ISSUES"', True),
        ("snowflake", 'raw."issues"', "RAW.ISSUES", False),
        ("duckdb", "Raw.Issues", '"raw"."issues"', True),
        ("duckdb", "raw.États", "raw.états", False),
        ("databricks", "`Raw`.issues", "raw.ISSUES", True),
        ("bigquery", "raw.issues", "raw.Issues", False),
        ("postgres", "Raw.Issues", '"raw"."issues"', True),
        ("postgres", '"Raw".issues', "raw.issues", False),
    ],
)
def test_names_are_compared_by_the_case_rules_of_their_warehouse(kind, left, right, same):
    assert TableRef.parse(left, kind=kind).same_table_as(TableRef.parse(right, kind=kind)) is same


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (TableRef("t", "s"), TableRef("t", "s", "db"), True),
        (TableRef("t", "s", "db"), TableRef("t", "s", "other"), False),
        (TableRef("t", "s", location="/a.duckdb"), TableRef("t", "s"), True),
        (TableRef("t", "s", location="/a.duckdb"), TableRef("t", "s", location="/b.duckdb"), False),
        (TableRef("t"), TableRef("t", "s"), False),
        (TableRef("t", "s", kind="duckdb"), TableRef("t", "s"), True),
    ],
)
def test_what_one_side_does_not_know_cannot_contradict_but_the_schema_must_be_known(
    left, right, same
):
    assert left.same_table_as(right) is same


def test_a_motherduck_table_is_a_duckdb_table():
    assert TableRef.parse("a.b", kind="motherduck") == TableRef.parse("a.b", kind="duckdb")


def test_a_name_of_four_parts_keeps_the_last_three():
    assert TableRef.parse("account.db.s.t") == TableRef("t", "s", "db")


@pytest.mark.parametrize("text", ["", " ", "a..b", "a.b.", '"open', "a b", 'x."y"z'])
def test_what_is_not_a_table_name_is_refused_and_says_where(text: str):
    with pytest.raises(InvalidInput, match="is not the name of a table") as refused:
        TableRef.parse(text)

    assert "Position" in str(refused.value)


@given(st.lists(identifiers, min_size=1, max_size=3), kinds, st.none() | st.text(min_size=1))
def test_metadata_carries_a_table_whole(parts: list[str], kind: str | None, location: str | None):
    database, schema, name = [*[None] * (3 - len(parts)), *parts]
    assume(kind != "oracle")
    table = TableRef(name or "", schema, database, kind, location)

    assert TableRef.from_metadata(table.to_metadata()) == table


def test_metadata_is_read_whether_plain_or_wrapped_by_dagster():
    wrapped = {"dagster/table_name": MetadataValue.text("db.s.t")}

    assert TableRef.from_metadata(wrapped) == TableRef("t", "s", "db")
    assert TableRef.from_metadata({}) is None
