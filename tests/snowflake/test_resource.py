from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
import snowflake.connector
from pydantic import ValidationError

from dagweave._kernel.errors import InvalidInput, MissingExtra
from dagweave.snowflake import (
    SnowflakeConnection,
    SnowflakeResource,
    snowflake_op_for_query,
    snowflake_resource,
)
from snowflake_server import DONE, Answering, answering

SECRET = "a-secret-to-look-for"


@pytest.fixture
def server_told() -> Iterator[Answering]:
    with answering() as told:
        yield told


def at(told: Answering, **more: Any) -> SnowflakeResource:
    settings = {"account": "acme", "user": "loader", "password": SECRET, "base_url": told.url}
    return SnowflakeResource(**{**settings, **more})


def test_an_asset_has_a_connection_of_its_own_which_is_committed(
    resource: SnowflakeResource, rows: Any
):
    @dg.asset
    def orders(snowflake: SnowflakeResource) -> None:
        with snowflake.get_connection() as connection:
            assert connection.database == resource.database
            connection.cursor().execute("CREATE TABLE orders AS SELECT 7 AS id")

    assert dg.materialize([orders], resources={"snowflake": resource}).success

    assert rows("SELECT * FROM orders") == [(7,)]


@pytest.mark.parametrize("autocommit", [None, False])
def test_what_was_done_is_committed_at_the_end_and_rolled_back_after_an_error(
    settings: dict[str, Any], rows: Any, autocommit: bool | None
):
    resource = SnowflakeResource(**settings, autocommit=autocommit)
    rows("CREATE TABLE t (n INT)")

    with resource.get_connection() as connection:
        connection.cursor().execute("BEGIN")
        connection.cursor().execute("INSERT INTO t VALUES (1)")
    with pytest.raises(ZeroDivisionError), resource.get_connection() as failing:  # noqa: PT012
        failing.cursor().execute("BEGIN")
        failing.cursor().execute("INSERT INTO t VALUES (2)")
        raise ZeroDivisionError

    assert rows("SELECT n FROM t") == [(1,)]


def test_a_connection_is_closed_whatever_happens(server_told: Answering):
    with at(server_told).get_connection() as connection:
        pass
    with pytest.raises(ZeroDivisionError), at(server_told).get_connection() as failing:
        raise ZeroDivisionError

    assert connection.is_closed()
    assert failing.is_closed()
    assert server_told.logouts == 2
    assert server_told.statements == ["COMMIT", "ROLLBACK"]


def test_with_autocommit_nothing_is_committed_by_us(server_told: Answering):
    with at(server_told, autocommit=True).get_connection() as connection:
        connection.cursor().execute("BEGIN")

    assert server_told.statements == ["BEGIN"]


def test_all_settings_arrive(server_told: Answering):
    resource = at(
        server_told,
        role="TRANSFORMER",
        warehouse="WH",
        timezone="America/New_York",
        client_session_keep_alive=False,
        autocommit=False,
        additional_snowflake_connection_args={"session_parameters": {"QUERY_TAG": "tagged"}},
    )

    with resource.get_connection():
        pass

    (login,) = server_told.logins
    assert (login["ACCOUNT_NAME"], login["LOGIN_NAME"], login["PASSWORD"]) == (
        "acme",
        "loader",
        SECRET,
    )
    said = login["SESSION_PARAMETERS"]
    assert (said["TIMEZONE"], said["QUERY_TAG"], said["AUTOCOMMIT"]) == (
        "America/New_York",
        "tagged",
        False,
    )


def test_the_environment_says_where_snowflake_is_unless_a_field_does(
    server_told: Answering, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DAGWEAVE_SNOWFLAKE_BASE_URL", server_told.url)
    with at(server_told, base_url=None).get_connection():
        pass
    monkeypatch.setenv("DAGWEAVE_SNOWFLAKE_BASE_URL", "http://127.0.0.1:1")
    with at(server_told).get_connection():
        pass
    host, port = server_told.url.removeprefix("http://").split(":")
    own = {"host": host, "port": int(port), "protocol": "http"}
    with at(server_told, base_url=None, additional_snowflake_connection_args=own).get_connection():
        pass

    assert len(server_told.logins) == 3


@pytest.mark.parametrize("address", ["127.0.0.1:80", "ftp://a", "http://a:port"])
def test_an_address_that_is_none_is_named(address: str):
    resource = SnowflakeResource(user="u", password=SECRET, base_url=address)

    with (
        pytest.raises(InvalidInput, match=r"is not the address of Snowflake"),
        resource.get_connection(),
    ):
        pass


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "no way to log in"),
        ({"password": SECRET, "private_key": SECRET}, "password and private_key"),
        ({"private_key_path": "k", "private_key": SECRET}, "private_key and private_key_path"),
        ({"password": SECRET, "paramstyle": "format"}, "pyformat, qmark, numeric"),
        ({"password": SECRET, "connector": "odbc"}, "sqlalchemy, adbc"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(given: dict[str, Any], says: str):
    with pytest.raises(InvalidInput, match=says) as caught:
        SnowflakeResource(user="u", **given)

    assert SECRET not in str(caught.value)


def test_an_authenticator_needs_no_password_and_may_have_one():
    SnowflakeResource(user="u", authenticator="externalbrowser")
    SnowflakeResource(user="u", authenticator="username_password_mfa", password=SECRET)


def test_a_wrong_field_does_not_show_the_password():
    with pytest.raises(ValidationError) as caught:
        SnowflakeResource(password=SECRET, login_timeout="soon")

    assert SECRET not in str(caught.value)


def test_no_secret_is_in_its_repr(settings: dict[str, Any]):
    resource = SnowflakeResource(
        user="u",
        private_key=SECRET,
        private_key_password="another-secret",
        additional_snowflake_connection_args={"token": "a-third-secret"},
        base_url="https://user:a-fourth-secret@host",
    )

    for shown in (repr(resource), str(resource), repr({"snowflake": resource})):
        assert "secret" not in shown
        assert "token" in shown
    assert SECRET not in repr(SnowflakeResource(**settings))
    given = SnowflakeResource(**settings).get_object_to_set_on_execution_context()
    assert SECRET not in repr(given)


def test_settings_may_come_from_the_environment(
    settings: dict[str, Any], rows: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", SECRET)
    resource = SnowflakeResource(
        **{**settings, "password": dg.EnvVar("SNOWFLAKE_PASSWORD")},
    )

    @dg.asset
    def orders(snowflake: SnowflakeResource) -> None:
        snowflake.connect_and_execute("CREATE TABLE orders AS SELECT 1 AS id")

    assert dg.materialize([orders], resources={"snowflake": resource}).success
    assert rows("SELECT id FROM orders") == [(1,)]


def test_context_resources_execute_queries(resource: SnowflakeResource):
    @dg.op(required_resource_keys={"snowflake"})
    def asks(context) -> None:
        given = context.resources.snowflake
        assert isinstance(given, SnowflakeConnection)
        assert given.execute_query("CREATE TABLE t (n INT, s VARCHAR)") is None
        both = ["INSERT INTO t VALUES (%s, %s)", "SELECT %s, %s"]
        assert given.execute_queries(both, parameters=[1, "it's"]) is None
        assert given.execute_query("SELECT * FROM t", fetch_results=True) == [(1, "it's")]
        assert given.execute_queries(["SELECT 1", "SELECT 2"], fetch_results=True) == [
            [(1,)],
            [(2,)],
        ]
        frames = given.execute_queries(
            ["SELECT n FROM t", "SELECT s FROM t"], fetch_results=True, use_pandas_result=True
        )
        assert [frame.to_dict("list") for frame in frames] == [{"N": [1]}, {"S": ["it's"]}]
        by_name = given.execute_query(
            "SELECT n FROM t WHERE s = %(s)s", parameters={"s": "it's"}, fetch_results=True
        )
        assert by_name == [(1,)]

    @dg.job(resource_defs={"snowflake": resource})
    def asking() -> None:
        asks()

    assert asking.execute_in_process().success


def test_a_frame_without_results_makes_no_sense(resource: SnowflakeResource):
    given = resource.get_object_to_set_on_execution_context()

    with pytest.raises(InvalidInput, match="fetch_results=True"):
        given.execute_query("SELECT 1", use_pandas_result=True)


def test_a_secret_in_a_query_is_not_logged(
    resource: SnowflakeResource, caplog: pytest.LogCaptureFixture
):
    given = SnowflakeConnection(
        {"password": SECRET},
        logging.getLogger("of.the.test"),
        snowflake_connection_resource=resource,
    )

    with caplog.at_level(logging.INFO, logger="of.the.test"):
        given.execute_query(f"SELECT '{SECRET}'")

    assert "Executing query: SELECT" in caplog.text
    assert SECRET not in caplog.text


def test_an_op_executes_a_query(resource: SnowflakeResource, rows: Any):
    made = snowflake_op_for_query("CREATE TABLE t AS SELECT %(n)s AS n", {"n": 7})

    @dg.job(resource_defs={"snowflake": resource})
    def nightly() -> None:
        made()

    assert nightly.execute_in_process().success
    assert rows("SELECT n FROM t") == [(7,)]


def test_an_op_says_why_its_query_failed_and_is_not_retried(resource: SnowflakeResource):
    failing = snowflake_op_for_query("SELECT * FROM not_there")

    @dg.job(resource_defs={"snowflake": resource})
    def nightly() -> None:
        failing()

    with pytest.raises(dg.Failure, match="NOT_THERE") as caught:
        nightly.execute_in_process()

    assert caught.value.allow_retries is False


def test_the_old_resource_gives_a_connection_with_a_warning(settings: dict[str, Any]):
    @dg.op(required_resource_keys={"snowflake"})
    def asks(context) -> None:
        assert context.resources.snowflake.execute_query("SELECT 1", fetch_results=True) == [(1,)]

    @dg.job(resource_defs={"snowflake": snowflake_resource})
    def asking() -> None:
        asks()

    config = {"resources": {"snowflake": {"config": settings}}}
    with pytest.warns(DeprecationWarning, match="use SnowflakeResource"):
        assert asking.execute_in_process(run_config=config).success


def test_a_parquet_file_becomes_a_table_of_variants(server_told: Answering):
    given = at(server_told).get_object_to_set_on_execution_context()

    given.load_table_from_local_parquet("/data/it's.parquet", "raw.orders")

    assert (
        server_told.statements[0]
        == "CREATE OR REPLACE TABLE raw.orders (data VARIANT DEFAULT NULL)"
    )
    assert server_told.statements[1].startswith(r"PUT 'file:///data/it''s.parquet' @raw.%orders")


@pytest.mark.parametrize(
    ("connector", "package"),
    [("sqlalchemy", "snowflake-sqlalchemy"), ("adbc", "adbc-driver-snowflake")],
)
def test_a_connector_that_is_not_installed_is_named(connector: str, package: str):
    resource = SnowflakeResource(user="u", password=SECRET, connector=connector)

    with pytest.raises(MissingExtra, match=f"pip install {package}"), resource.get_connection():
        pass


def test_what_is_in_an_account_needs_snowflakes_python_api():
    resource = SnowflakeResource(user="u", password=SECRET)

    for ask in (
        lambda: resource.get_databases("%"),
        lambda: resource.get_schemas("%", "%"),
        lambda: resource.get_tables("%", "%", "%"),
        lambda: resource.get_views("%", "%", "%"),
        lambda: resource.get_pipes("%", "%", "%"),
        lambda: resource.get_stages("%", "%", "%"),
    ):
        with pytest.raises(MissingExtra, match="pip install snowflake"):
            ask()
    with (
        pytest.raises(MissingExtra, match="snowflake-snowpark-python"),
        resource.create_snowpark_session(),
    ):
        pass


def test_an_error_of_the_users_own_code_stays_what_it_was(resource: SnowflakeResource):
    with (
        pytest.raises(snowflake.connector.errors.ProgrammingError),
        resource.get_connection() as connection,
    ):
        connection.cursor().execute("SELECT * FROM not_there")


def test_values_are_bound_as_paramstyle_says(settings: dict[str, Any]):
    resource = SnowflakeResource(**settings, paramstyle="qmark")

    with resource.get_connection() as connection:
        assert connection.cursor().execute("SELECT ?", (7,)).fetchall() == [(7,)]


def test_the_answer_of_the_server_of_these_tests_is_understood(server_told: Answering):
    server_told.query = lambda sql: DONE

    with at(server_told).get_connection() as connection:
        assert connection.cursor().execute("SELECT 1").fetchall() == [("done",)]
