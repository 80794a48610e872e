"""A full disk, a killed writer, a file that may not be written: nothing is ever half-written."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dagweave._kernel.errors import Refused
from dagweave.duckdb.connections import database_at
from dagweave.duckdb.store import DuckDBStore
from dagweave.warehouse.plan import WritePlan
from dagweave.weaving import TableRef

WRITER = """
import itertools, os, random, resource, signal, sys, time
import duckdb
import pyarrow as pa
from dagweave.duckdb.connections import database_at
from dagweave.duckdb.store import DuckDBStore
from dagweave.warehouse.plan import Mode, ReadPlan, WritePlan
from dagweave.warehouse.slices import Keys, Slice
from dagweave.weaving import TableRef

store = DuckDBStore(database_at(sys.argv[1]))
table = store.locate(TableRef("t", "main"))

def part(day):
    return WritePlan(table, Slice(((Keys("day", (day,)),),), day))

def rows(batches):
    '''Two megabytes in each batch, which do not compress.'''
    schema = pa.schema([("day", pa.string()), ("text", pa.string())])
    def noise():
        for _ in range(batches):
            text = [os.urandom(100).hex() for _ in range(10_000)]
            yield pa.record_batch({"day": ["monday"] * 10_000, "text": text})
    return pa.RecordBatchReader.from_batches(schema, noise())

def in_a_process_of_its_own(work):
    '''Forked, so that it need not import all this again. This process never opens the database.'''
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print("failed:", error, flush=True)
            os._exit(1)
    return pid
"""


def run_writer(body: str, *arguments: str) -> str:
    """Run a script in a process of its own, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", WRITER + textwrap.dedent(body), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_table(path: str) -> None:
    with duckdb.connect(path) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT if(i < 10, 'monday', 'tuesday') AS day, 'old' AS text "
            "FROM range(20) r(i)"
        )


def assert_as_before(path: str) -> None:
    with duckdb.connect(path) as connection:
        found = connection.execute("SELECT day, text, count(*) FROM t GROUP BY ALL ORDER BY ALL")
        assert found.fetchall() == [("monday", "old", 10), ("tuesday", "old", 10)]


WRITE_TOO_MUCH = """
for plan in (WritePlan(table), part("monday")):
    try:
        store.write(plan, rows(20))
    except Exception as error:
        print(type(error).__name__, error)
# The next connection of the process works.
with store.connected() as session:
    print(session.connection.execute("SELECT count(*) FROM t").fetchall())
"""


def test_a_disk_that_fills_up_loses_nothing(database: str) -> None:
    """The limit on a file's size stands for the disk: it fails the same way, for any user."""
    make_table(database)

    limit = """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
    """
    printed = run_writer(textwrap.dedent(limit) + WRITE_TOO_MUCH, database)

    assert "WorkFailed dev.main.t was not written." in printed
    assert "WorkFailed monday of dev.main.t was not written." in printed
    assert printed.count("Free some disk space") == 2
    assert printed.endswith("[(20,)]\n")
    assert_as_before(database)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("A small disk can be mounted only by root, where the system lets it.")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_small_disk_that_fills_up_loses_nothing(small_disk: Path) -> None:
    database = str(small_disk / "dev.duckdb")
    make_table(database)

    printed = run_writer(WRITE_TOO_MUCH, database)

    assert printed.count("No space left on device") == 2
    assert printed.endswith("[(20,)]\n")
    assert_as_before(database)


KILLED = """
    text = [os.urandom(100).hex() for _ in range(3_000)]
    monday = pa.table({"day": ["monday"] * 3_000, "text": text})

    def write_for_ever():
        for n in itertools.count():
            store.write(plan(n), monday.to_reader(max_chunksize=500))

    def tell():
        with duckdb.connect(sys.argv[1]) as connection:
            print([connection.execute(asked).fetchall() for asked in questions], flush=True)

    random.seed(7)
    for _ in range(kills):
        writer = in_a_process_of_its_own(write_for_ever)
        time.sleep(random.uniform(0.0, 0.12))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        os.waitpid(in_a_process_of_its_own(tell), 0)
"""
BY_DAY = "SELECT day, count(*) FROM t GROUP BY 1 ORDER BY 1"


def kill_writers(database: str, plan: str, kills: int, *questions: str) -> list[list[Any]]:
    """Kill so many writers, each at some moment; return what the table answers after each."""
    make_table(database)
    given = f"plan = lambda n: {plan}\nkills = {kills}\nquestions = {questions!r}\n"

    printed = run_writer(given + textwrap.dedent(KILLED), database)

    found = [ast.literal_eval(line) for line in printed.splitlines()]
    assert len(found) == kills
    return found


def test_a_writer_that_is_killed_leaves_the_old_slice_or_the_new(database: str) -> None:
    found = kill_writers(database, "part('monday')", 80, BY_DAY)

    old, new = [[("monday", n), ("tuesday", 10)] for n in (10, 3_000)]
    assert all(told in ([old], [new]) for told in found)
    assert [new] in found


def test_a_writer_that_is_killed_leaves_the_old_table_or_the_new(database: str) -> None:
    found = kill_writers(database, "WritePlan(table)", 80, BY_DAY)

    old, new = [("monday", 10), ("tuesday", 10)], [("monday", 3_000)]
    assert all(told in ([old], [new]) for told in found)
    assert [new] in found


def test_a_writer_that_is_killed_has_added_rows_wholly_or_not_at_all(database: str) -> None:
    once = "(f'{os.getpid()}/{n}',)"
    plan = f"WritePlan(table, mode=Mode.APPEND, once={once})"
    booked = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'dagweave_writes'"

    found = kill_writers(database, plan, 40, "SELECT count(*) FROM t", booked)

    with duckdb.connect(database) as connection:
        [(writes,)] = connection.execute("SELECT count(*) FROM dagweave_writes").fetchall()
    assert all((count - 20) % 3_000 == 0 for [(count,)], _ in found)
    assert found[-1][0] == [(20 + writes * 3_000,)]
    assert writes > 0


def test_a_writer_that_is_killed_has_merged_all_rows_or_none(database: str) -> None:
    plan = "WritePlan(table, mode=Mode.MERGE, keys=('day', 'text'))"

    found = kill_writers(database, plan, 20, "SELECT count(*) FROM t")

    assert all(count in {20, 3_020} for [[(count,)]] in found)


def test_four_processes_write_to_one_file_in_turn(database: str) -> None:
    printed = run_writer(
        """
        def write(day):
            for n in range(5):
                store.write(part(day), pa.table({"day": [day], "n": [n]}).to_reader())

        days = ("monday", "tuesday", "wednesday", "thursday")
        writers = [in_a_process_of_its_own(lambda: write(day)) for day in days]
        print([os.waitpid(writer, 0)[1] for writer in writers])
        """,
        database,
    )

    assert printed == "[0, 0, 0, 0]\n"
    with duckdb.connect(database) as connection:
        assert connection.execute("SELECT n, count(*) FROM t GROUP BY 1").fetchall() == [(4, 4)]


@pytest.fixture
def readable_folder() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own are for one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_file_that_may_only_be_read_is_read_and_not_written(readable_folder: Path) -> None:
    database = str(readable_folder / "dev.duckdb")
    make_table(database)
    Path(database).chmod(0o444)

    printed = run_writer(
        """
        # Whatever is imported on first use: the user below may not read where it lies.
        with DuckDBStore(database_at(":memory:")).connected() as session:
            session.connection.execute("SELECT 1")
        rows(1).read_all()
        if os.getuid() == 0:
            # Nothing is forbidden to root.
            os.setuid(65534)
        for shared in (False, True):
            with store.read(ReadPlan(table), shared=shared) as stream:
                print(stream.read_all().num_rows)
        try:
            store.write(part("monday"), rows(1))
        except Exception as error:
            print(type(error).__name__, error)
        """,
        database,
    )

    assert printed.startswith("20\n20\nRefused")
    assert database in printed
    assert "Let this user write the file" in printed


def test_a_connection_that_only_reads_says_how_to_write(database: str) -> None:
    make_table(database)
    store = DuckDBStore(database_at(database), {"access_mode": "READ_ONLY"})

    with pytest.raises(Refused, match=r"(?s)dev.main.t was not written.*access_mode"):
        store.write(
            WritePlan(store.locate(TableRef("t", "main"))), pa.table({"n": [1]}).to_reader()
        )

    assert_as_before(database)
