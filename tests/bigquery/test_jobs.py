"""Jobs are begun once, whatever becomes of the answers; told at the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Forbidden

from bigquery_server import DROP, Answer, Answering, answering, error, job
from dagweave._kernel.errors import Refused, Unavailable, WaitTimeout
from dagweave.bigquery.connections import Settings, close, connect
from dagweave.bigquery.engine import BigQueryEngine
from dagweave.bigquery.failures import translated
from dagweave.bigquery.jobs import Jobs
from dagweave.testing import FakeClock
from dagweave.warehouse.sql import Sql

MERGE = Sql.of("MERGE INTO t USING s ON FALSE WHEN NOT MATCHED THEN INSERT ROW")


@pytest.fixture
def server() -> Iterator[Answering]:
    with answering() as told:
        yield told


@pytest.fixture
def engine(server: Answering) -> Iterator[BigQueryEngine]:
    connection = connect(Settings("acme", base_url=server.url))
    yield BigQueryEngine(
        connection, Jobs(connection.client, {"asset": "Orders"}, clock=FakeClock())
    )
    close(connection)


class Once:
    """Answers each request by the first of its answers, and goes on with the next."""

    def __init__(self, *, begin: list[Any], look: list[Any] | None = None) -> None:
        self.begin, self.look = begin, look or []

    def __call__(self, method: str, path: str, body: Any) -> Answer:
        if method == "POST" and path.endswith("/jobs"):
            return self._next(self.begin, body["jobReference"]["jobId"])
        name = path.rpartition("/")[2]
        if "/queries/" in path:
            reference = {"projectId": "acme", "jobId": name, "location": "US"}
            return 200, {"jobComplete": True, "jobReference": reference, "totalRows": "0"}
        return self._next(self.look, name)

    def _next(self, answers: list[Any], name: str) -> Answer:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer(name) if callable(answer) else answer


def done(name: str) -> Answer:
    return 200, job(name)


def merged(name: str) -> Answer:
    stats = {"insertedRowCount": "3", "updatedRowCount": "1", "deletedRowCount": "2"}
    return 200, job(name, query={"dmlStats": stats})


def failed(reason: str, message: str) -> Any:
    said = {"reason": reason, "message": message}
    return lambda name: (200, job(name, status={"errorResult": said, "errors": [said]}))


NONE = error(404, "notFound", "Not found: Job")


def test_a_job_whose_answer_was_lost_is_looked_up_and_not_begun_again(
    server: Answering, engine: BigQueryEngine
):
    server.answer = Once(begin=[DROP], look=[done])

    found = engine.run(MERGE)

    (name,) = set(server.begun())
    assert found.job_id == name
    assert len(server.begun()) == 1


def test_a_job_that_never_arrived_is_begun_again_under_the_same_name(
    server: Answering, engine: BigQueryEngine
):
    server.answer = Once(begin=[DROP, error(503, "backendError", "down"), done], look=[NONE])

    engine.run(MERGE)

    assert len(server.begun()) == 3
    assert len(set(server.begun())) == 1


def test_a_job_that_arrived_after_all_is_taken_for_ones_own(
    server: Answering, engine: BigQueryEngine
):
    there = error(409, "duplicate", "Already Exists: Job")
    server.answer = Once(begin=[DROP, there], look=[NONE, done])

    found = engine.run(MERGE)

    assert {found.job_id} == set(server.begun())


def test_a_server_that_does_not_answer_is_told_to_be_looked_for(
    server: Answering, engine: BigQueryEngine
):
    server.answer = Once(begin=[DROP], look=[NONE])

    away = pytest.raises(Unavailable, match=r"(?s)not written.*did not answer.*base_url")
    with away, translated("orders was not written."):
        engine.run(MERGE)

    assert len(set(server.begun())) == 1


def test_a_job_that_cannot_be_asked_for_is_waited_for_and_not_begun_anew(
    server: Answering, engine: BigQueryEngine
):
    def running(name: str) -> Answer:
        return 200, job(name, status={"state": "RUNNING"})

    once = Once(begin=[running], look=[done])
    away = [error(403, "rateLimitExceeded", "too many"), error(429, "rateLimitExceeded", "many")]

    def answer(method: str, path: str, body: Any) -> Answer:
        return away.pop() if "/queries/" in path and away else once(method, path, body)

    server.answer = answer

    found = engine.run(MERGE)

    assert away == []
    assert server.begun() == [found.job_id]


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("backendError", "try again"),
        ("rateLimitExceeded", "too many"),
        ("invalidQuery", "Transaction is aborted due to concurrent update against table t"),
        ("invalidQuery", "Could not serialize access to table t due to concurrent update"),
    ],
)
def test_a_job_that_failed_for_a_passing_reason_is_begun_anew_as_another(
    server: Answering, engine: BigQueryEngine, reason: str, message: str
):
    server.answer = Once(begin=[failed(reason, message), done], look=[failed(reason, message)])

    engine.run(MERGE)

    assert len(set(server.begun())) == 2


def test_what_is_wrong_with_a_query_is_told_at_once(server: Answering, engine: BigQueryEngine):
    wrong = failed("invalidQuery", "Syntax error")
    server.answer = Once(begin=[wrong], look=[wrong])

    with pytest.raises(BadRequest):
        engine.run(MERGE)

    assert len(server.begun()) == 1


def test_who_may_not_is_refused_at_once_with_what_it_takes(
    server: Answering, engine: BigQueryEngine
):
    server.answer = Once(begin=[error(403, "accessDenied", "Access Denied: Project acme")])

    refused = pytest.raises(Refused, match=r"(?s)Access Denied.*BigQuery Job User")
    with refused as caught, translated("orders was not written."):
        engine.run(MERGE)

    assert isinstance(caught.value.__cause__, Forbidden)
    assert len(server.begun()) == 1


def test_a_bigquery_that_stays_away_is_told_after_some_attempts(
    server: Answering, engine: BigQueryEngine
):
    server.answer = Once(begin=[error(503, "backendError", "down")], look=[NONE])

    with (
        pytest.raises(Unavailable, match="orders was not written"),
        translated("orders was not written."),
    ):
        engine.run(MERGE)

    assert len(set(server.begun())) == 1


def test_a_job_that_takes_too_long_is_cancelled(server: Answering, engine: BigQueryEngine):
    def running(name: str) -> Answer:
        return 200, job(name, status={"state": "RUNNING"})

    once = Once(begin=[running], look=[running])

    def answer(method: str, path: str, body: Any) -> Answer:
        if "/queries/" in path:
            reference = {"projectId": "acme", "jobId": path.rpartition("/")[2]}
            return 200, {"jobComplete": False, "jobReference": reference}
        if path.endswith("/cancel"):
            return 200, {"job": job(path.split("/")[-2])}
        return once(method, path, body)

    server.answer = answer
    hurried = BigQueryEngine(engine.clients, Jobs(engine.connection, timeout_s=0.2))

    with pytest.raises(WaitTimeout, match="timeout"), translated("orders was not written."):
        hurried.run(MERGE)

    assert any(path.endswith("/cancel") for _, path, _ in server.asked)


def test_a_merge_tells_what_it_inserted_updated_and_deleted(
    server: Answering, engine: BigQueryEngine
):
    server.answer = Once(begin=[merged], look=[merged])

    with engine.batch() as batch:
        place = batch.run(MERGE)

    told = batch.told
    assert told.rows[place] == 3
    assert (told.merged[place].updated, told.merged[place].deleted) == (1, 2)
    assert told.query_ids == server.begun()
    assert told.url == (
        f"https://console.cloud.google.com/bigquery?project=acme&j=bq:US:{told.query_ids[0]}"
        "&page=queryresults"
    )


def test_rows_and_the_note_of_them_are_one_transaction_after_what_defines_tables(
    server: Answering, engine: BigQueryEngine
):
    server.answer = Once(begin=[done], look=[done])
    insert = Sql.of("INSERT INTO `t` (`n`) SELECT 1")

    with engine.batch() as batch:
        batch.run(insert)
        batch.run(Sql.of("ALTER TABLE `t` ADD COLUMN `n` INT64"))
        batch.run(insert)

    sent = [b["configuration"]["query"]["query"] for m, p, b in server.asked if m == "POST"]
    assert [each.partition(" ")[0] for each in sent] == ["ALTER", "BEGIN"]
    assert sent[1].count("INSERT") == 2
    assert sent[1].endswith("COMMIT TRANSACTION")


def test_the_wall_clock_of_the_partitions_is_that_of_the_query(
    server: Answering, engine: BigQueryEngine
):
    from dagweave.warehouse.slices import Slice

    server.answer = Once(begin=[done], look=[done])
    engine.keep_time_in(Slice((), "some", "America/New_York"))

    engine.run(MERGE)

    ((_, _, body),) = [each for each in server.asked if each[0] == "POST"]
    query = body["configuration"]["query"]
    assert query["connectionProperties"] == [{"key": "time_zone", "value": "America/New_York"}]
    assert body["configuration"]["labels"] == {"asset": "orders"}
