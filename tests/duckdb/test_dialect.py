from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagweave._kernel.errors import InvalidInput
from dagweave.duckdb.dialect import (
    DUCKDB,
    absolute,
    catalog_name,
    fold,
    holder,
    without_secrets,
)
from dagweave.weaving.duckdb_file import is_locked

names = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20
)


@given(names)
@settings(max_examples=150, deadline=None)
def test_duckdb_takes_a_quoted_name_as_it_is_spelled(name: str) -> None:
    with duckdb.connect() as connection:
        quoted = DUCKDB.quote(name)
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {DUCKDB.quote('s ' + name)}")
        connection.execute(
            f"CREATE TABLE memory.{DUCKDB.quote('s ' + name)}.{quoted} AS SELECT 1 AS {quoted}"
        )
        found = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()

    assert found == [(name, name)]


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@settings(max_examples=100, deadline=None)
def test_duckdb_reads_a_literal_as_the_value_that_it_shows(value: str) -> None:
    with duckdb.connect() as connection:
        assert connection.execute(f"SELECT {DUCKDB.literal(value)}").fetchall() == [(value,)]


@given(names, names)
@settings(max_examples=150, deadline=None)
def test_two_names_fold_to_one_if_they_are_one_column_to_duckdb(one: str, two: str) -> None:
    for other in (two, one.upper(), one.lower(), one.swapcase()):
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE t ({DUCKDB.quote(one)} INTEGER)")
            try:
                connection.execute(f"ALTER TABLE t ADD COLUMN {DUCKDB.quote(other)} INTEGER")
            except duckdb.CatalogException:
                same = True
            else:
                same = False
        assert same == (fold(one) == fold(other))


@pytest.mark.parametrize(
    "name",
    [
        "dev.duckdb",
        "dev",
        "my data.v2.db",
        ".hidden.duckdb",
        "..x",
        "main.duckdb",
        "temp.db",
        "système.db",
    ],
)
def test_a_file_is_called_what_duckdb_calls_it(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    with duckdb.connect(path) as connection:
        (called,) = connection.execute("SELECT current_database()").fetchall()

    assert (catalog_name(path),) == called


def test_only_files_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "real.duckdb").touch()
    (tmp_path / "link.duckdb").symlink_to("real.duckdb")

    assert absolute("link.duckdb") == str(tmp_path / "real.duckdb")
    assert absolute("~/x.duckdb") == str(tmp_path / "x.duckdb")
    for service in (":memory:", ":memory:shared", "md:my_db", "md:", "ducklake:meta.db", ""):
        assert absolute(service) == service
    assert catalog_name("md:my_db") is None
    assert catalog_name(":memory:shared") == "memory"


def test_the_home_of_nobody_is_no_path() -> None:
    with pytest.raises(InvalidInput, match="nobody-is-called-so"):
        absolute("~nobody-is-called-so/x.duckdb")


def test_the_holder_of_a_lock_is_named_by_its_command(tmp_path: Path) -> None:
    import os

    message = (
        f'Could not set lock on file "x": Conflicting lock is held in python (PID {os.getpid()}).'
    )
    gone = "Conflicting lock is held in /usr/bin/duckdb (PID 999999999) by user ann. See also"

    assert is_locked(message)
    assert f"Process {os.getpid()} has it open: " in holder(message)
    assert "python -" in holder(message) or "pytest" in holder(message)
    assert holder(gone) == "Process 999999999 has it open: /usr/bin/duckdb"


def test_settings_that_are_secret_by_name_are_taken_out() -> None:
    config = {"s3_secret_access_key": "abcd1234", "motherduck_token": "tok-5678", "threads": 4}

    assert without_secrets("abcd1234 tok-5678 4", config) == "*** *** 4"
