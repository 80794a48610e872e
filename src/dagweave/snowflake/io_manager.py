"""I/O managers that store frames as tables of Snowflake."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import ConfigDict, Field, model_validator

from dagweave._kernel.errors import InvalidInput
from dagweave._kernel.redact import redact
from dagweave.snowflake.arguments import for_connector
from dagweave.snowflake.credentials import require_one_way
from dagweave.snowflake.dialect import SNOWFLAKE
from dagweave.snowflake.engine import SnowflakeEngine
from dagweave.snowflake.store import SnowflakeStore, named_in_full
from dagweave.snowflake.text_times import TextTimes
from dagweave.warehouse.factory import (
    WarehouseIOManagerFactory,
    io_manager_definition,
    known,
)
from dagweave.warehouse.frames import ArrowTables, PandasFrames, PolarsFrames
from dagweave.warehouse.handlers import FrameTypeHandler
from dagweave.warehouse.locate import asset_table
from dagweave.warehouse.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dagster import AssetKey, IOManagerDefinition

    from dagweave._dagster.private import DbTypeHandler
    from dagweave.warehouse.arrow import Stream
    from dagweave.warehouse.plan import Receipt, WritePlan
    from dagweave.warehouse.store import TableStore
    from dagweave.weaving.table_ref import TableRef

_CREDENTIALS: Final = ("password", "private_key", "private_key_path", "authenticator")
_ENVIRONMENT: Final = "Without it, the environment variable {} is asked when a run needs it."


class _SnowflakeTypeHandler(FrameTypeHandler):
    """What the handlers of all frames have in common."""

    kind = SNOWFLAKE.kind

    def tables(self, connection: Any) -> Tables:
        """The tables that a connection reaches."""
        return Tables(SnowflakeEngine(connection))

    def write(self, plan: WritePlan, stream: Stream, connection: Any) -> Receipt:
        """Write the rows.

        What the I/O manager deleted before comes back first: rows are staged by DDL, which would
        commit that; and what the rows replace is deleted with their coming.
        """
        connection.rollback()
        return super().write(plan, stream, connection)


class SnowflakePandasTypeHandler(_SnowflakeTypeHandler, as_the_store_does=True):
    """Stores and loads `pandas.DataFrame`."""

    front_end = PandasFrames()


class SnowflakePolarsTypeHandler(_SnowflakeTypeHandler, as_the_store_does=True):
    """Stores and loads `polars.DataFrame`."""

    front_end = PolarsFrames()


class SnowflakeArrowTypeHandler(_SnowflakeTypeHandler, as_the_store_does=True):
    """Stores and loads `pyarrow.Table`."""

    front_end = ArrowTables()


class SnowflakeIOManager(WarehouseIOManagerFactory):
    """Stores what assets return as tables of Snowflake; the base of one's own I/O managers.

    A subclass says which types it handles, and what an input without annotation is loaded as:

    ```python
    from dagster import EnvVar
    from dagweave.snowflake import SnowflakeIOManager, SnowflakePandasTypeHandler

    class MyIOManager(SnowflakeIOManager):
        @staticmethod
        def type_handlers():
            return [SnowflakePandasTypeHandler()]

    io_manager = MyIOManager(
        account=EnvVar("SNOWFLAKE_ACCOUNT"), user="loader", password=EnvVar("SNOWFLAKE_PASSWORD"),
        database="ANALYTICS", schema="MARTS",
    )
    ```

    Besides the types of its handlers it takes every frame by its annotation: pandas and Polars
    frames, lazy ones too, `pyarrow.Table` and `pyarrow.RecordBatchReader`. All inputs and outputs of
    a process share its connections.

    Exactly one of `password`, `private_key` and `private_key_path` says who comes; with an
    `authenticator` there may be none. If there is nothing of the kind, the environment is asked:
    `SNOWFLAKE_PASSWORD`, `SNOWFLAKE_PRIVATE_KEY`, `SNOWFLAKE_PRIVATE_KEY_PATH`,
    `SNOWFLAKE_AUTHENTICATOR`.
    """

    # A wrong field must not show the password beside it.
    model_config = ConfigDict(hide_input_in_errors=True, defer_build=True)

    database: str = Field(description="The database of tables whose metadata names none.")
    account: str = Field(
        description="The account's identifier, `<organization>-<account>`, without "
        "`.snowflakecomputing.com`."
    )
    user: str | None = Field(
        default=None, description="Who logs in. " + _ENVIRONMENT.format("SNOWFLAKE_USER")
    )
    password: str | None = Field(
        default=None, repr=False, description="The user's password. Give it as an EnvVar."
    )
    warehouse: str | None = Field(
        default=None,
        description="The warehouse. "
        + _ENVIRONMENT.format("SNOWFLAKE_WAREHOUSE")
        + " Without both, the user's default.",
    )
    role: str | None = Field(
        default=None,
        description="The role. "
        + _ENVIRONMENT.format("SNOWFLAKE_ROLE")
        + " Without both, the user's default.",
    )
    private_key: str | None = Field(
        default=None,
        repr=False,
        description="The user's private key: the text of a PEM file, or the base64 of one, which has "
        "no line breaks to lose (`base64 -w0 rsa_key.p8`). Give it as an EnvVar.",
    )
    private_key_path: str | None = Field(
        default=None, description="A file with the private key, instead of private_key."
    )
    private_key_password: str | None = Field(
        default=None, repr=False, description="What the private key is encrypted with, if it is."
    )
    store_timestamps_as_strings: bool = Field(
        default=False,
        description="Whether times are stored as text, as older versions of the official package "
        "did, and text that is a time is loaded as one.",
    )
    authenticator: str | None = Field(
        default=None,
        description="How to log in: externalbrowser, oauth, username_password_mfa, a URL of Okta, ...",
    )
    additional_snowflake_connection_args: dict[str, Any] | None = Field(
        default=None,
        description="More arguments of snowflake.connector.connect, which come before all others: "
        "https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api#connect.",
    )
    base_url: str | None = Field(
        default=None,
        description="Where Snowflake is, if not at the account's own address. Without it, the "
        "environment variable DAGWEAVE_SNOWFLAKE_BASE_URL is asked.",
    )

    @model_validator(mode="before")
    @classmethod
    def _not_two_ways_to_log_in(cls, values: dict[str, Any]) -> dict[str, Any]:
        require_one_way(values, who=cast("str", cls.__name__), none=True)
        return values

    def table_store(self) -> TableStore:
        """The tables of the database.

        Raises:
            InvalidInput: Nothing says who logs in, or how; or the private key cannot be read.
        """
        settings, who = self._settings, self._name
        more: Mapping[str, Any] = settings["additional_snowflake_connection_args"] or {}
        if not (settings["user"] or more.get("user")):
            raise InvalidInput(
                f"{who} was not told who logs in to Snowflake.",
                remedy="Give user and password, or a private key; or set the environment variables "
                "SNOWFLAKE_USER and SNOWFLAKE_PASSWORD, or SNOWFLAKE_PRIVATE_KEY.",
            )
        require_one_way({**settings, **more}, who=who)
        store = SnowflakeStore(self.database, for_connector(settings))
        return TextTimes(store) if self.store_timestamps_as_strings else store

    def table_of(self, asset_key: AssetKey, metadata: Mapping[str, Any]) -> TableRef | None:
        """The table that an asset is stored in, as far as it is known before a run.

        An `EnvVar` that is not set leaves open what it would say.
        """
        kind, schema = SNOWFLAKE.kind, known(self.schema_)
        table = asset_table(asset_key.path, metadata, kind=kind, schema=schema)
        account = known(self.account)
        return named_in_full(table, known(self.database), account.lower() if account else None)

    @property
    def _settings(self) -> Mapping[str, Any]:
        names = set(type(self).model_fields) - set(WarehouseIOManagerFactory.model_fields)
        given = {name: getattr(self, name) for name in names}
        asked = ["user", "warehouse", "role"]
        if not any(given[name] for name in _CREDENTIALS):
            asked += _CREDENTIALS
        found = {name: given[name] or os.environ.get(f"SNOWFLAKE_{name.upper()}") for name in asked}
        return given | found

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What `repr` shows: no secret, and of the additional arguments only the names."""
        for name, value in super().__repr_args__():
            if name == "additional_snowflake_connection_args" and value is not None:
                more: Mapping[str, Any] = value
                yield name, sorted(more)
            else:
                yield name, redact(value) if isinstance(value, str) else value


class SnowflakePandasIOManager(SnowflakeIOManager):
    """Stores frames in Snowflake, and loads an input without annotation as a pandas frame.

    ```python
    from dagster import Definitions, EnvVar, asset
    from dagweave.snowflake import SnowflakePandasIOManager
    import pandas as pd

    @asset(key_prefix="marts")
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"id": [1, 2]})

    io_manager = SnowflakePandasIOManager(
        account=EnvVar("SNOWFLAKE_ACCOUNT"), user="loader", password=EnvVar("SNOWFLAKE_PASSWORD"),
        warehouse="TRANSFORM_WH", database="ANALYTICS",
    )
    defs = Definitions(assets=[orders], resources={"io_manager": io_manager})
    ```
    """

    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        """Pandas."""
        return [SnowflakePandasTypeHandler()]


class SnowflakePolarsIOManager(SnowflakeIOManager):
    """Stores frames in Snowflake, and loads an input without annotation as a Polars frame."""

    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        """Polars."""
        return [SnowflakePolarsTypeHandler()]


class SnowflakeArrowIOManager(SnowflakeIOManager):
    """Stores frames in Snowflake, and loads an input without annotation as a `pyarrow.Table`."""

    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        """Arrow."""
        return [SnowflakeArrowTypeHandler()]


def build_snowflake_io_manager(
    type_handlers: Sequence[DbTypeHandler[Any]], default_load_type: type[Any] | None = None
) -> IOManagerDefinition:
    """An I/O manager in the form that takes its settings by `configured`.

    Args:
        type_handlers: The handlers of the types that are stored and loaded, one for each type.
        default_load_type: What an input without annotation is loaded as; if it is not given, the
            only handler's type.
    """
    return io_manager_definition(SnowflakeIOManager, type_handlers, default_load_type)


snowflake_pandas_io_manager = build_snowflake_io_manager([SnowflakePandasTypeHandler()])
snowflake_polars_io_manager = build_snowflake_io_manager([SnowflakePolarsTypeHandler()])
