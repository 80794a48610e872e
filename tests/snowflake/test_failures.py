"""What goes wrong between us and Snowflake, each at the wire: told by its number, never by text."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from dagweave._kernel.errors import (
    DagweaveError,
    InvalidInput,
    Refused,
    SchemaMismatch,
    Unavailable,
    WorkFailed,
)
from dagweave.snowflake import SnowflakeResource
from snowflake_server import Answering, answering, failed

SECRET = "a-secret-to-look-for"


@pytest.fixture
def told() -> Iterator[Answering]:
    with answering() as server:
        yield server


def at(url: str, **more: Any) -> SnowflakeResource:
    return SnowflakeResource(
        account="acme-test",
        user="loader",
        password=SECRET,
        base_url=url,
        login_timeout=2,
        network_timeout=2,
        **more,
    )


def failing(resource: SnowflakeResource, kind: type[DagweaveError]) -> str:
    with pytest.raises(kind) as caught:
        resource.connect_and_execute("SELECT 1")
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is not None
    return str(caught.value)


def test_wrong_credentials_are_refused_by_name_of_user_and_account(told: Answering):
    told.login = failed("390100", "08001", f"Nom d'utilisateur ou mot de passe: {SECRET}.")

    message = failing(at(told.url), Refused)

    assert "as loader of account acme-test failed" in message
    assert "error 390100" in message
    assert "Not retried" in message
    assert len(told.logins) == 1


def test_an_account_that_there_is_not(told: Answering):
    told.login = 403

    message = failing(at(told.url), Refused)

    assert "acme-test" in message
    assert "<organization>-<account>" in message


def test_a_host_that_nobody_is_at():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    message = failing(at(f"http://127.0.0.1:{port}"), Unavailable)

    assert "this machine can reach it" in message


@pytest.mark.parametrize(
    ("number", "state", "kind", "says"),
    [
        ("000606", "57P03", Refused, "resume it"),
        ("090073", "22000", Refused, "quota"),
        ("002043", "02000", InvalidInput, "spelling"),
        ("002003", "42S02", InvalidInput, "spelling"),
        ("003001", "42501", Refused, "Grant the role"),
        ("001003", "42000", InvalidInput, "error 1003"),
        ("100035", "22007", SchemaMismatch, "wider type"),
        ("000625", "57014", Unavailable, "Another transaction"),
        ("000604", "57014", WorkFailed, "cancelled"),
        ("000630", "57014", WorkFailed, "STATEMENT_TIMEOUT"),
        ("099999", "XX000", WorkFailed, "error 99999"),
    ],
)
def test_a_statement_that_snowflake_does_not_carry_out(
    told: Answering, number: str, state: str, kind: type[DagweaveError], says: str
):
    told.query = lambda sql: failed(number, state, "Dans une autre langue.")

    message = failing(at(told.url), kind)

    assert says in message
    assert "Dans une autre langue." in message
    assert "01b00000-0000-0000-0000-000000000002" in message


def test_a_database_that_there_is_not(resource: SnowflakeResource):
    with pytest.raises(InvalidInput, match="NOT_THERE"):
        resource.connect_and_execute("USE DATABASE not_there")


@pytest.mark.parametrize("answer", [503, 500])
def test_a_connection_that_is_lost_may_be_tried_again(told: Answering, answer: int):
    told.query = lambda sql: answer

    assert failing(at(told.url), Unavailable)


def test_a_session_that_snowflake_ended(told: Answering):
    told.query = lambda sql: failed("390111", "08001", "Session no longer exists.")

    assert "a new one will do" in failing(at(told.url), Unavailable)


def test_queries_of_context_resources_fail_alike(told: Answering):
    told.query = lambda sql: failed("000606", "57P03", f"No active warehouse. {SECRET}")
    given = at(told.url).get_object_to_set_on_execution_context()

    with pytest.raises(Refused, match="warehouse that the role may use") as caught:
        given.execute_query("SELECT 1")

    assert SECRET not in str(caught.value)
