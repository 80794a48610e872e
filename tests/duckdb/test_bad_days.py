"""A full disk, a killed writer, a file that may not be written: nothing is ever half-written."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

WRITE = """
    import sys, resource, signal, os
    import pyarrow as pa
    from dagweave.duckdb.connections import database_at
    from dagweave.duckdb.store import DuckDBStore
    from dagweave.warehouse.plan import WritePlan
    from dagweave.warehouse.slices import Keys, Slice
    from dagweave.weaving import TableRef

    store = DuckDBStore(database_at(sys.argv[1]))
    table = store.locate(TableRef("t", "main"))
    part = Slice(((Keys("day", ("monday",)),),), "monday")
    plans = {"table": WritePlan.replace(table), "partition": WritePlan.replace_partition(table, part)}

    def rows(n, text):
        batch = pa.record_batch({"day": ["monday"] * 10_000, "text": [text] * 10_000})
        noise = (pa.record_batch({"day": ["monday"] * 10_000, "text": [os.urandom(100).hex() for _ in range(10_000)]}) for _ in range(n))
        return pa.RecordBatchReader.from_batches(batch.schema, noise)
"""


def script(body: str) -> str:
    return textwrap.dedent(WRITE) + textwrap.dedent(body)


def run_script(body: str, *arguments: str) -> str:
    """Run a script in a process of its own, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script(body), *arguments],
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
    for mode, plan in plans.items():
        try:
            store.write(plan, rows(30, "new"))
        except Exception as error:
            print(mode, type(error).__name__, error)
    # The next connect of the process works, and there is still room for a little.
    with store.connected() as session:
        print(session.connection.execute("SELECT count(*) FROM t").fetchall())
"""


def test_a_disk_that_fills_up_loses_nothing(database: str) -> None:
    """The limit on a file's size stands for the disk: it makes the same failure, for any user."""
    make_table(database)

    limited = textwrap.dedent("""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
    """)
    printed = run_script(limited + textwrap.dedent(WRITE_TOO_MUCH), database)

    assert "table WorkFailed dev.main.t was not written." in printed
    assert "partition WorkFailed monday of dev.main.t was not written." in printed
    assert printed.count("Free some disk space") == 2
    assert printed.endswith("[(20,)]\n")
    assert_as_before(database)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        os.name == "posix"
        and os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)],
            check=False,
            capture_output=True,
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("A small disk can be mounted only by root, where the system lets it.")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_small_disk_that_fills_up_loses_nothing(small_disk: Path) -> None:
    database = str(small_disk / "dev.duckdb")
    make_table(database)

    printed = run_script(WRITE_TOO_MUCH, database)

    assert printed.count("No space left on device") == 2
    assert printed.endswith("[(20,)]\n")
    assert_as_before(database)


@pytest.mark.parametrize("mode", ["table", "partition"])
def test_a_writer_that_is_killed_leaves_the_old_rows_or_the_new(database: str, mode: str) -> None:
    make_table(database)
    body = f"""
    while True:
        print("writing", flush=True)
        store.write(plans[{mode!r}], rows(5, "new"))
    """
    pause = random.Random(mode)
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", script(body), database], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout
        assert writer.stdout.readline() == "writing\n"
        time.sleep(pause.uniform(0, 0.5))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()

        with duckdb.connect(database) as connection:
            found = dict(connection.execute("SELECT day, count(*) FROM t GROUP BY 1").fetchall())
        assert found["monday"] in {10, 50_000}
        assert found.get("tuesday") == (
            10 if mode == "partition" or found["monday"] == 10 else None
        )


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

    printed = run_script(
        """
        import duckdb
        from dagweave.warehouse.plan import ReadPlan
        with DuckDBStore(database_at(":memory:")).connected() as session:
            session.connection.execute("SELECT 1")
        rows(1, "new").read_all()
        if os.getuid() == 0:
            # Nothing is forbidden to root.
            os.setuid(65534)
        for shared in (False, True):
            with store.read(ReadPlan(table), shared=shared) as stream:
                print(stream.read_all().num_rows)
        try:
            store.write(plans["partition"], rows(1, "new"))
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

    printed = run_script(
        """
        store = DuckDBStore(database_at(sys.argv[1]), {"access_mode": "READ_ONLY"})
        try:
            store.write(plans["table"], rows(1, "new"))
        except Exception as error:
            print(type(error).__name__, error)
        """,
        database,
    )

    assert printed.startswith("Refused dev.main.t was not written.")
    assert "access_mode" in printed
    assert_as_before(database)


def test_four_processes_write_to_one_file_in_turn(database: str) -> None:
    duckdb.connect(database).close()
    body = """
    day = sys.argv[2]
    part = Slice(((Keys("day", (day,)),),), day)
    for n in range(5):
        one = pa.table({"day": [day], "n": [n]})
        store.write(WritePlan.replace_partition(table, part), one.to_reader())
    """
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script(body), database, day], stderr=subprocess.PIPE, text=True
        )
        for day in ("monday", "tuesday", "wednesday", "thursday")
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=200)
        assert writer.returncode == 0, errors

    with duckdb.connect(database) as connection:
        assert connection.execute("SELECT n, count(*) FROM t GROUP BY 1").fetchall() == [(4, 4)]
