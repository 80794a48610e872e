"""The Snowflake resource: a connection for code of one's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from dagster import ConfigurableResource, IAttachDifferentObjectToOpContext, get_dagster_logger
from dagster.components.lib.sql_component.sql_client import SQLClient
from pydantic import ConfigDict, Field, field_validator, model_validator

from dagweave._kernel.errors import InvalidInput
from dagweave._kernel.redact import redact
from dagweave.snowflake.arguments import for_connector
from dagweave.snowflake.connection import SnowflakeConnection
from dagweave.snowflake.connections import secrets_of
from dagweave.snowflake.credentials import require_one_way
from dagweave.snowflake.failures import translated
from dagweave.snowflake.inventory import Inventory
from dagweave.snowflake.opening import CONNECTORS, opened

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping


class SnowflakeResource(
    ConfigurableResource[Any], IAttachDifferentObjectToOpContext, Inventory, SQLClient
):
    """Connects to Snowflake.

    ```python
    from dagster import Definitions, EnvVar, asset
    from dagweave.snowflake import SnowflakeResource

    @asset
    def orders(snowflake: SnowflakeResource) -> None:
        with snowflake.get_connection() as connection:
            connection.cursor().execute("CREATE OR REPLACE TABLE orders AS SELECT 1 AS id")

    snowflake = SnowflakeResource(
        account=EnvVar("SNOWFLAKE_ACCOUNT"),
        user=EnvVar("SNOWFLAKE_USER"),
        private_key=EnvVar("SNOWFLAKE_PRIVATE_KEY"),
        warehouse="TRANSFORM_WH",
        database="ANALYTICS",
    )
    defs = Definitions(assets=[orders], resources={"snowflake": snowflake})
    ```

    Exactly one of `password`, `private_key` and `private_key_path` says who comes; with an
    `authenticator` there may be none of them.
    """

    # A wrong field must not show the password beside it.
    model_config = ConfigDict(hide_input_in_errors=True, defer_build=True)

    account: str | None = Field(
        default=None,
        description="The account's identifier, `<organization>-<account>`, without "
        "`.snowflakecomputing.com`.",
    )
    user: str = Field(description="Who logs in.")
    password: str | None = Field(
        default=None,
        repr=False,
        description="The user's password. Give it as an EnvVar, so that it is in no code and not "
        "shown in Dagster's UI.",
    )
    database: str | None = Field(default=None, description="The database that a session begins in.")
    schema_: str | None = Field(
        default=None, alias="schema", description="The schema that a session begins in."
    )
    role: str | None = Field(default=None, description="The role; without it, the user's default.")
    warehouse: str | None = Field(
        default=None, description="The warehouse; without it, the user's default."
    )
    private_key: str | None = Field(
        default=None,
        repr=False,
        description="The user's private key: the text of a PEM file, or the base64 of one, which has "
        "no line breaks to lose (`base64 -w0 rsa_key.p8`). Give it as an EnvVar.",
    )
    private_key_password: str | None = Field(
        default=None, repr=False, description="What the private key is encrypted with, if it is."
    )
    private_key_path: str | None = Field(
        default=None, description="A file with the private key, instead of private_key."
    )
    autocommit: bool | None = Field(
        default=None,
        description="Whether each statement commits by itself. Without it, the session does what "
        "Snowflake's parameter AUTOCOMMIT says.",
    )
    client_prefetch_threads: int | None = Field(
        default=None, description="How many threads fetch the parts of a result; by default 4."
    )
    client_session_keep_alive: bool | None = Field(
        default=None, description="Whether a session is kept alive while nothing happens."
    )
    login_timeout: int | None = Field(
        default=None, description="Longest wait for a login, in seconds."
    )
    network_timeout: int | None = Field(
        default=None,
        description="Longest time that any other request is tried again for, in seconds; by "
        "default without end.",
    )
    ocsp_response_cache_filename: str | None = Field(
        default=None, description="Where the cache of OCSP responses is, as a URI."
    )
    validate_default_parameters: bool | None = Field(
        default=None,
        description="Whether a login fails if the warehouse, the database or the schema is not there.",
    )
    paramstyle: str | None = Field(
        default=None,
        description="How values are bound: pyformat (the default), qmark or numeric.",
    )
    timezone: str | None = Field(
        default=None, description="The session's time zone, `America/New_York`."
    )
    connector: str | None = Field(
        default=None,
        description="What get_connection() connects with: without it Snowflake's own connector; "
        "'sqlalchemy'; 'adbc'.",
    )
    cache_column_metadata: str | None = Field(
        default=None, description="Of 'sqlalchemy': whether the columns of all tables are cached."
    )
    numpy: bool | None = Field(
        default=None, description="Of 'sqlalchemy': whether values are NumPy's."
    )
    authenticator: str | None = Field(
        default=None,
        description="How to log in: externalbrowser, oauth, username_password_mfa, a URL of Okta, ...",
    )
    additional_snowflake_connection_args: dict[str, Any] | None = Field(
        default=None,
        description="More arguments of snowflake.connector.connect, which come before all others: "
        "https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api#connect. "
        "Of 'adbc', what begins with adbc.snowflake.; not for 'sqlalchemy'.",
    )
    base_url: str | None = Field(
        default=None,
        description="Where Snowflake is, if not at the account's own address. Without it, the "
        "environment variable DAGWEAVE_SNOWFLAKE_BASE_URL is asked.",
    )

    @field_validator("paramstyle")
    @classmethod
    def _paramstyle_is_known(cls, value: str | None) -> str | None:
        return _one_of("paramstyle", value, ("pyformat", "qmark", "numeric"))

    @field_validator("connector")
    @classmethod
    def _connector_is_known(cls, value: str | None) -> str | None:
        return _one_of("connector", value, CONNECTORS)

    @model_validator(mode="before")
    @classmethod
    def _one_way_to_log_in(cls, values: dict[str, Any]) -> dict[str, Any]:
        require_one_way(values, who=cast("str", cls.__name__))
        return values

    @contextmanager
    def get_connection(self, raw_conn: bool = True) -> Generator[Any]:  # noqa: FBT001, FBT002
        """A connection of one's own, closed when the context ends, whatever happens.

        What was done is committed at the end, unless `autocommit` is set; after an error it is
        rolled back. Without `connector` it is a `snowflake.connector.SnowflakeConnection`.

        Args:
            raw_conn: Of 'sqlalchemy': a raw DB-API connection, and not SQLAlchemy's own.

        Raises:
            Refused: Snowflake refused the login; says what to check, and never the secret.
            InvalidInput: The private key cannot be read; or what is named is not there.
            Unavailable: Snowflake was not reached.
            MissingExtra: What `connector` names is not installed.
        """
        with opened(self._settings, raw=raw_conn) as connection:
            yield connection

    def connect_and_execute(self, sql: str) -> None:
        """Execute one statement, and commit.

        Raises:
            DagweaveError: Why it failed, by kind: see `dagweave._kernel.errors`.
        """
        arguments = for_connector(self._settings)
        with (
            translated("A statement of Snowflake failed.", secrets_of(arguments)),
            self.get_connection() as connection,
        ):
            connection.cursor().execute(sql)

    def get_object_to_set_on_execution_context(self) -> SnowflakeConnection:
        """What `context.resources` shows, where a resource is named by its key."""
        return SnowflakeConnection(
            self._settings,
            get_dagster_logger("dagweave.snowflake"),
            snowflake_connection_resource=self,
        )

    @property
    def _settings(self) -> Mapping[str, Any]:
        return {
            field.alias or name: getattr(self, name)
            for name, field in type(self).model_fields.items()
        }

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What `repr` shows: no secret, and of the additional arguments only the names."""
        for name, value in super().__repr_args__():
            if name == "additional_snowflake_connection_args" and value is not None:
                more: Mapping[str, Any] = value
                yield name, sorted(more)
            else:
                yield name, redact(value) if isinstance(value, str) else value


def _one_of(name: str, value: str | None, known: tuple[str, ...]) -> str | None:
    if value is not None and value not in known:
        raise InvalidInput(
            f"{value!r} is no {name} of SnowflakeResource.",
            remedy=f"It may be one of: {', '.join(known)}.",
        )
    return value
