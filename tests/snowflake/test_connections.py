from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import snowflake.connector

from dagweave._kernel.errors import Refused
from dagweave.snowflake.connections import Connections
from dagweave.testing import FakeClock
from snowflake_server import DONE, Answering, answering, failed


@pytest.fixture
def told() -> Iterator[Answering]:
    with answering() as server:
        yield server


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pool(clock: FakeClock) -> Iterator[Connections]:
    made = Connections(clock)
    yield made
    made.close()


def to(told: Answering, **more: Any) -> dict[str, Any]:
    host, port = told.url.removeprefix("http://").split(":")
    known = {"account": "acme", "user": "loader", "password": "secret", "protocol": "http"}
    return {**known, "host": host, "port": int(port), "network_timeout": 2, **more}


def use(pool: Connections, arguments: dict[str, Any], sql: str = "SELECT 1") -> None:
    with pool.lent(arguments) as connection:
        connection.cursor().execute(sql)


def test_one_login_serves_who_comes_one_after_the_other(told: Answering, pool: Connections):
    for _ in range(3):
        use(pool, to(told))

    assert len(told.logins) == 1
    assert told.statements == ["SELECT 1"] * 3
    assert told.heartbeats == 0


def test_who_comes_at_the_same_time_has_a_connection_alone(told: Answering, pool: Connections):
    with pool.lent(to(told)) as one, pool.lent(to(told)) as two:
        assert one is not two
    use(pool, to(told))

    assert len(told.logins) == 2


def test_other_settings_are_another_connection(told: Answering, pool: Connections):
    use(pool, to(told))
    use(pool, to(told, role="OTHER"))
    use(pool, to(told, password="another"))

    assert len(told.logins) == 3


def test_after_an_error_it_is_rolled_back_and_kept(told: Answering, pool: Connections):
    told.query = lambda sql: failed("002003", "42S02", "no") if "nope" in sql else DONE
    with pytest.raises(snowflake.connector.errors.ProgrammingError):
        use(pool, to(told), "SELECT nope")
    use(pool, to(told))

    assert told.statements == ["SELECT nope", "ROLLBACK", "SELECT 1"]
    assert len(told.logins) == 1


def test_a_connection_that_was_lost_is_replaced(told: Answering, pool: Connections):
    told.query = lambda sql: failed("390111", "08001", "Session no longer exists.")
    with pytest.raises(snowflake.connector.errors.Error):
        use(pool, to(told))
    told.query = lambda sql: DONE
    use(pool, to(told))

    assert len(told.logins) == 2


def test_one_that_rested_is_asked_whether_it_is_alive(
    told: Answering, pool: Connections, clock: FakeClock
):
    use(pool, to(told))
    clock.sleep(60)
    use(pool, to(told))
    assert (told.heartbeats, len(told.logins)) == (1, 1)

    told.heartbeat = failed("390111", "08001", "Session no longer exists.")
    clock.sleep(60)
    use(pool, to(told))
    assert (told.heartbeats, len(told.logins)) == (2, 2)


def test_closing_logs_out_and_one_may_begin_again(told: Answering, pool: Connections):
    use(pool, to(told))
    pool.close()
    assert told.logouts == 1

    use(pool, to(told))
    assert len(told.logins) == 2


def test_threads_share_what_is_idle(told: Answering, pool: Connections):
    def work() -> None:
        for _ in range(5):
            use(pool, to(told))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(told.statements) == 20
    assert len(told.logins) <= 4


def test_a_login_that_is_refused_keeps_nothing(told: Answering, pool: Connections):
    told.login = failed("390100", "08001", "no")
    with pytest.raises(Refused):
        use(pool, to(told))

    assert "secret" not in repr(pool)


FORKED = """
import os, sys
from dagweave.snowflake.connections import CONNECTIONS

arguments = {arguments!r}
def use():
    with CONNECTIONS.lent(arguments) as connection:
        connection.cursor().execute("SELECT " + str(os.getpid()))

use()
child = os.fork()
use()
if child:
    assert os.waitpid(child, 0)[1] == 0
    use()
"""


def test_after_a_fork_the_child_logs_in_itself_and_the_parents_stays(
    told: Answering, tmp_path: Path
):
    script = tmp_path / "forks.py"
    script.write_text(FORKED.format(arguments=to(told)))

    done = subprocess.run(
        [sys.executable, script], env=os.environ, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert len(told.logins) == 2
    assert len(told.statements) == 4
    # Each process ended its own session at its end, and no other.
    assert told.logouts == 2
