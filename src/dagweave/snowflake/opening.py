"""A connection for the user's own code, by any of the ways to Snowflake."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from dagweave._kernel.errors import MissingExtra
from dagweave._kernel.extras import require
from dagweave.snowflake.arguments import for_adbc, for_connector, for_sqlalchemy
from dagweave.snowflake.connections import connect, secrets_of
from dagweave.snowflake.failures import connector, ours

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from types import ModuleType

CONNECTORS: Final = ("sqlalchemy", "adbc")
"""The ways beside Snowflake's own connector."""


@contextmanager
def opened(settings: Mapping[str, Any], *, raw: bool = True) -> Generator[Any]:
    """A connection; committed at the end unless `autocommit`, rolled back after an error, closed.

    Raises:
        Refused, InvalidInput, Unavailable, MissingExtra: As `dagweave.snowflake.connections.connect`.
    """
    way = {"sqlalchemy": _by_sqlalchemy, "adbc": _by_adbc}.get(settings.get("connector") or "")
    with way(settings, raw) if way else _by_connector(settings) as connection:
        try:
            yield connection
        except BaseException:
            # Whatever the rollback meets, the first error is the one to tell; closing undoes the rest.
            with suppress(Exception):
                connection.rollback()
            raise
        if not settings.get("autocommit"):
            connection.commit()


def installed_aside(module: str, package: str, *, what: str) -> ModuleType:
    """Import what no extra of Dagweave brings.

    Raises:
        MissingExtra: It is not installed; names the command that installs it.
    """
    try:
        return require(module, extra="snowflake", what=what)
    except MissingExtra as error:
        raise MissingExtra(
            f"{what} needs {package}, which is not installed in this environment.",
            remedy=f"Install it: pip install {package}",
        ) from error


@contextmanager
def _by_connector(settings: Mapping[str, Any]) -> Generator[Any]:
    connection = connect(for_connector(settings))
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _by_sqlalchemy(settings: Mapping[str, Any], raw: bool) -> Generator[Any]:  # noqa: FBT001
    what = "SnowflakeResource(connector='sqlalchemy')"
    dialect = installed_aside("snowflake.sqlalchemy", "snowflake-sqlalchemy", what=what)
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError

    url, arguments = for_sqlalchemy(settings)
    engine = create_engine(dialect.URL(**url), connect_args=arguments)
    try:
        connection = engine.raw_connection() if raw else engine.connect()
    except (DBAPIError, connector(what).Error) as error:
        engine.dispose()
        raise _no_login(getattr(error, "orig", None) or error, {**url, **arguments}) from error
    try:
        yield connection
    finally:
        connection.close()
        engine.dispose()


@contextmanager
def _by_adbc(settings: Mapping[str, Any], raw: bool) -> Generator[Any]:  # noqa: ARG001, FBT001
    what = "SnowflakeResource(connector='adbc')"
    driver = installed_aside("adbc_driver_snowflake.dbapi", "adbc-driver-snowflake", what=what)
    options = for_adbc(settings)
    try:
        connection = driver.connect(db_kwargs=options)
    except driver.Error as error:
        raise _no_login(error, options) from error
    try:
        yield connection
    finally:
        connection.close()


def _no_login(error: BaseException, arguments: Mapping[str, Any]) -> Exception:
    user = arguments.get("user") or arguments.get("username")
    account = arguments.get("account") or arguments.get("adbc.snowflake.sql.account")
    what = f"Logging in to Snowflake as {user} of account {account} failed."
    return ours(error, what, secrets_of(arguments))
