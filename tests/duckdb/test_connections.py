"""One opening of a file for all of a process, and waiting for others in turn."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from dagweave._kernel.errors import InvalidInput, Refused, WaitTimeout
from dagweave.duckdb.connections import Patience, database_at
from dagweave.testing import FakeClock

SOON = Patience(timeout_s=0.3)
LONG = Patience(timeout_s=60)


@contextmanager
def held_by_another_process(
    path: str, *, seconds: float = 60, read_only: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the file open until the context ends, or `seconds` pass."""
    script = (
        f"import duckdb, sys, time; c = duckdb.connect({path!r}, read_only={read_only}); "
        f"print('open', flush=True); time.sleep({seconds})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "open\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def path(database: str) -> str:
    """A database that exists."""
    duckdb.connect(database).close()
    return database


def test_a_lock_held_too_long_is_an_error_that_names_the_process(path: str) -> None:
    with held_by_another_process(path) as process:
        with (
            pytest.raises(WaitTimeout) as caught,
            database_at(path).connection({}, write=True, patience=SOON),
        ):
            pass

        said = str(caught.value)
        assert path in said
        assert f"Process {process.pid} has it open: " in said
        assert "import duckdb" in said
        assert "lock_timeout_s" in said

    with database_at(path).connection({}, write=True, patience=SOON) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1")


def test_a_lock_that_is_given_back_is_taken(path: str) -> None:
    with (
        held_by_another_process(path, seconds=0.6),
        database_at(path).connection({}, write=True, patience=LONG) as connection,
    ):
        connection.execute("CREATE TABLE t AS SELECT 1")


def test_who_waits_long_is_told_so_once(path: str) -> None:
    told: list[str] = []
    clock = FakeClock()
    patience = Patience(timeout_s=60, tell=told.append, clock=clock)

    with (
        held_by_another_process(path),
        pytest.raises(WaitTimeout, match="stayed locked for 60 s"),
        database_at(path).connection({}, write=True, patience=patience),
    ):
        pass

    assert len(told) == 1
    assert "Still waiting for the DuckDB file" in told[0]
    assert "has it open" in told[0]


def test_readers_of_several_processes_go_together(path: str) -> None:
    with (
        held_by_another_process(path, read_only=True),
        database_at(path).connection({}, write=False, patience=SOON) as connection,
    ):
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_a_reader_joins_the_writer_of_its_process(path: str) -> None:
    file = database_at(path)

    with file.connection({}, write=True, patience=SOON) as writer:
        writer.execute("CREATE TABLE t AS SELECT 1 AS n")
        with file.connection({}, write=False, patience=SOON) as reader:
            assert reader.execute("FROM t").fetchall() == [(1,)]


def test_a_writer_waits_for_the_readers_of_other_threads(path: str) -> None:
    file = database_at(path)
    done = threading.Event()

    def write() -> None:
        with file.connection({}, write=True, patience=LONG) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1")
        done.set()

    with file.connection({}, write=False, patience=SOON):
        thread = threading.Thread(target=write)
        thread.start()
        assert not done.wait(0.2)

    thread.join(timeout=60)
    assert done.is_set()


def test_a_writer_does_not_wait_for_a_reader_of_its_own_thread(path: str) -> None:
    file = database_at(path)

    with (
        file.connection({}, write=False, patience=LONG),
        pytest.raises(InvalidInput, match=r"(?s)This thread has it open.*access_mode"),
        file.connection({}, write=True, patience=LONG),
    ):
        pass


def test_threads_write_one_after_the_other_and_wait_no_longer_than_they_may(path: str) -> None:
    file = database_at(path)
    said: list[str] = []

    def write() -> None:
        try:
            with file.writing(SOON):
                pass
        except WaitTimeout as timeout:
            said.append(str(timeout))

    with file.writing(LONG), file.writing(LONG):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    write()

    assert len(said) == 1
    assert "Another thread of this process" in said[0]
    assert path in said[0]


def test_a_file_is_closed_when_the_last_user_is_done(path: str) -> None:
    file = database_at(path)

    with file.connection({}, write=True, patience=SOON):
        with file.connection({}, write=True, patience=SOON):
            pass
        other = subprocess.run(
            [sys.executable, "-c", f"import duckdb; duckdb.connect({path!r})"],
            capture_output=True,
            check=False,
        )
        assert other.returncode != 0

    subprocess.run([sys.executable, "-c", f"import duckdb; duckdb.connect({path!r})"], check=True)


def test_after_an_error_the_next_connection_works(path: str) -> None:
    for _ in range(3):
        with (
            pytest.raises(duckdb.Error),
            database_at(path).connection({}, write=True, patience=SOON) as connection,
        ):
            connection.execute("BEGIN; SELECT no_such_column")

    # Open as it was before, and with other settings: so it was closed.
    for config in ({}, {"threads": 1}):
        with database_at(path).connection(config, write=True, patience=SOON) as connection:
            connection.execute("SELECT 1")


def test_other_settings_in_one_process_are_named_at_once(path: str) -> None:
    held = {"threads": 1, "access_mode": "READ_WRITE"}
    wanted = {"motherduck_token": "very-secret"}
    with (
        database_at(path).connection(held, write=True, patience=SOON),
        pytest.raises(InvalidInput, match=r"these differ: motherduck_token, threads\.") as caught,
        database_at(path).connection(wanted, write=True, patience=LONG),
    ):
        pass
    assert "very-secret" not in str(caught.value)


def test_no_token_in_a_path_is_shown(tmp_path: Path) -> None:
    path = str(tmp_path / "dev?motherduck_token=very-secret.duckdb")
    duckdb.connect(path).close()
    told: list[str] = []

    with (
        held_by_another_process(path),
        pytest.raises(WaitTimeout) as caught,
        database_at(path).connection(
            {}, write=True, patience=Patience(60, told.append, FakeClock())
        ),
    ):
        pass

    for text in (*told, str(caught.value), repr(database_at(path))):
        assert "very-secret" not in text
    assert told


@pytest.mark.parametrize("mode", ["READ_WRITE", "automatic"])
def test_a_reader_may_say_that_it_could_write(path: str, mode: str) -> None:
    with (
        held_by_another_process(path, read_only=True),
        database_at(path).connection({"access_mode": mode}, write=False, patience=SOON) as reader,
    ):
        assert reader.execute("SELECT 1").fetchall() == [(1,)]


def test_a_connection_that_somebody_else_of_the_process_opened_is_waited_for(path: str) -> None:
    with (
        duckdb.connect(path, read_only=True),
        pytest.raises(WaitTimeout, match="Another part of this process"),
        database_at(path).connection({}, write=True, patience=SOON),
    ):
        pass


def test_the_same_file_by_another_name_is_the_same_database(path: str) -> None:
    link = Path(path).with_name("link.duckdb")
    link.symlink_to(path)

    assert database_at(str(link)) is database_at(path) is database_at("dev.duckdb")


def test_reading_only_is_asked_for_by_duckdbs_own_setting(path: str) -> None:
    config = {"access_mode": "READ_ONLY"}

    with (
        held_by_another_process(path, read_only=True),
        database_at(path).connection(config, write=True, patience=SOON) as connection,
        pytest.raises(duckdb.InvalidInputException, match="read-only"),
    ):
        connection.execute("CREATE TABLE t AS SELECT 1")
    assert config == {"access_mode": "READ_ONLY"}


def test_memory_lives_as_long_as_its_object_or_its_name(path: str) -> None:
    mine = database_at(":memory:")
    for file in (mine, database_at(":memory:test_memory")):
        with file.connection({}, write=True, patience=SOON) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1")

    for known in (mine, database_at(":memory:test_memory")):
        with known.connection({}, write=False, patience=SOON) as connection:
            connection.execute("FROM t")
    with database_at(":memory:").connection({}, write=True, patience=SOON) as connection:
        assert connection.execute("SHOW TABLES").fetchall() == []


def test_a_file_that_is_no_database_is_refused_at_once(tmp_path: Path) -> None:
    junk = tmp_path / "junk.duckdb"
    junk.write_text("not a database\n" * 1000)

    with (
        pytest.raises(Refused, match="not a valid DuckDB database"),
        database_at(str(junk)).connection({}, write=True, patience=LONG),
    ):
        pass


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidInput, match=r"(?s)no/such.*Create the folder"),
        database_at(str(tmp_path / "no/such/x.duckdb")).connection({}, write=True, patience=LONG),
    ):
        pass


def test_a_database_that_gave_up_is_opened_anew(path: str) -> None:
    file = database_at(path)

    with (
        pytest.raises(duckdb.FatalException),
        file.connection({}, write=True, patience=SOON),
    ):
        raise duckdb.FatalException(
            "database has been invalidated because of a previous fatal error"
        )

    with file.connection({}, write=True, patience=SOON) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1")


def test_many_threads_share_one_file(path: str) -> None:
    file = database_at(path)
    with file.connection({}, write=True, patience=SOON) as connection:
        connection.execute("CREATE TABLE t (n INTEGER)")
    failed: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for _ in range(10):
                with file.connection({}, write=n % 2 == 0, patience=LONG) as connection:
                    if n % 2 == 0:
                        connection.execute("INSERT INTO t VALUES (?)", [n])
                    connection.execute("SELECT count(*) FROM t").fetchall()
        except BaseException as error:  # noqa: BLE001 -- told to the test
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    with file.connection({}, write=False, patience=SOON) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchall() == [(40,)]
