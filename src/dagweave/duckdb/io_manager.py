"""I/O managers that store frames as tables of a DuckDB database."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from dagster import (
    AssetKey,
    ConfigurableIOManagerFactory,
    DagsterConfigMappingFunctionError,
    EnvVar,
    InitResourceContext,
    IOManagerDefinition,
)
from pydantic import Field

from dagweave.duckdb.connections import DEFAULT_LOCK_TIMEOUT_S, database_at
from dagweave.duckdb.dialect import DUCKDB, absolute, catalog_name, is_file
from dagweave.duckdb.engine import DuckDBEngine
from dagweave.duckdb.resource import (
    CONNECTION_CONFIG,
    DATABASE,
    LOCK_TIMEOUT_S,
    harmless_repr,
    patience_of,
)
from dagweave.duckdb.store import DuckDBStore
from dagweave.warehouse.frames import PandasFrames, PolarsFrames
from dagweave.warehouse.handlers import FrameTypeHandler
from dagweave.warehouse.io_manager import WarehouseIOManager
from dagweave.warehouse.locate import asset_table
from dagweave.warehouse.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dagweave._dagster.private import DbTypeHandler
    from dagweave.weaving.table_ref import TableRef


class _DuckDBTypeHandler(FrameTypeHandler):
    """What the handlers of all frames have in common."""

    kind = DUCKDB.kind

    def tables(self, connection: Any) -> Tables:
        """The tables that a connection reaches."""
        return Tables(DuckDBEngine(connection))


class DuckDBPandasTypeHandler(_DuckDBTypeHandler, as_the_store_does=True):
    """Stores and loads `pandas.DataFrame`."""

    front_end = PandasFrames()


class DuckDBPolarsTypeHandler(_DuckDBTypeHandler, as_the_store_does=True):
    """Stores and loads `polars.DataFrame`."""

    front_end = PolarsFrames()


class DuckDBIOManager(ConfigurableIOManagerFactory[Any]):
    """Stores what assets return as tables of a DuckDB database; the base of one's own I/O managers.

    A subclass says which types it handles, and what an input without annotation is loaded as:

    ```python
    from dagweave.duckdb import DuckDBIOManager, DuckDBPandasTypeHandler

    class MyIOManager(DuckDBIOManager):
        @staticmethod
        def type_handlers():
            return [DuckDBPandasTypeHandler()]

    io_manager = MyIOManager(database="dev.duckdb", schema="analytics")
    ```

    Besides the types of its handlers it takes every frame by its annotation: pandas and Polars
    frames, lazy ones too, `pyarrow.Table` and `pyarrow.RecordBatchReader`.
    """

    database: str = Field(description=DATABASE)
    connection_config: dict[str, Any] = Field(default={}, description=CONNECTION_CONFIG)
    # `schema` is a method of every Pydantic model.
    schema_: str | None = Field(
        default=None,
        alias="schema",
        description="The schema of tables whose asset names none in its metadata.",
    )
    lock_timeout_s: float = Field(default=DEFAULT_LOCK_TIMEOUT_S, description=LOCK_TIMEOUT_S)

    @staticmethod
    @abstractmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        """The handlers of the types that are stored and loaded, one for each type."""

    @staticmethod
    def default_load_type() -> type[Any] | None:
        """What an input without annotation is loaded as; `None` takes the only handler's type."""
        return None

    def create_io_manager(self, context: InitResourceContext) -> WarehouseIOManager:  # noqa: ARG002
        """The I/O manager for one run, or one step."""
        return _io_manager(
            self.type_handlers(),
            self.default_load_type(),
            name=cast("str", type(self).__name__),
            database=self.database,
            schema=self.schema_,
            config=self.connection_config,
            lock_timeout_s=self.lock_timeout_s,
        )

    def table_of(self, asset_key: AssetKey, metadata: Mapping[str, Any]) -> TableRef | None:
        """The table that an asset is stored in, as far as it is known before a run.

        An `EnvVar` that is not set leaves open what it would say.
        """
        return _table_of(asset_key, metadata, _known(self.schema_), _known(self.database))

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What `repr` shows: no setting's value, and no token in a path."""
        return harmless_repr(super().__repr_args__())


class DuckDBPandasIOManager(DuckDBIOManager):
    """Stores frames in DuckDB, and loads an input without annotation as a pandas frame.

    ```python
    from dagster import Definitions, asset
    from dagweave.duckdb import DuckDBPandasIOManager
    import pandas as pd

    @asset(key_prefix="analytics")
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"id": [1, 2]})

    defs = Definitions(
        assets=[orders], resources={"io_manager": DuckDBPandasIOManager(database="dev.duckdb")}
    )
    ```
    """

    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        """Pandas."""
        return [DuckDBPandasTypeHandler()]


class DuckDBPolarsIOManager(DuckDBIOManager):
    """Stores frames in DuckDB, and loads an input without annotation as a Polars frame."""

    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        """Polars."""
        return [DuckDBPolarsTypeHandler()]


class _Definition(IOManagerDefinition):
    """The form that takes its settings by `configured`; knows its tables once it has them."""

    def copy_for_configured(
        self, description: str | None, config_schema: Any
    ) -> IOManagerDefinition:
        """What `configured` returns."""
        return _Definition(
            self.resource_fn, config_schema, description=description or self.description
        )

    def table_of(self, asset_key: AssetKey, metadata: Mapping[str, Any]) -> TableRef | None:
        """The table that an asset is stored in; `None` if settings are left to the run."""
        try:
            settings = cast("Any", self.apply_config_mapping({"config": {}}))
        except DagsterConfigMappingFunctionError:
            return None
        config: Mapping[str, Any] = settings.value["config"] if settings.success else {}
        if "database" not in config:
            return None
        return _table_of(asset_key, metadata, config.get("schema"), config["database"])


def build_duckdb_io_manager(
    type_handlers: Sequence[DbTypeHandler[Any]], default_load_type: type[Any] | None = None
) -> IOManagerDefinition:
    """An I/O manager in the form that takes its settings by `configured`.

    Args:
        type_handlers: The handlers of the types that are stored and loaded, one for each type.
        default_load_type: What an input without annotation is loaded as; if it is not given, the
            only handler's type.
    """

    def duckdb_io_manager(context: InitResourceContext) -> WarehouseIOManager:
        config: dict[str, Any] = context.resource_config
        return _io_manager(
            type_handlers,
            default_load_type,
            name="DuckDBIOManager",
            database=config["database"],
            schema=config.get("schema"),
            config=config["connection_config"],
            lock_timeout_s=config["lock_timeout_s"],
        )

    return _Definition(
        duckdb_io_manager,
        DuckDBIOManager.to_config_schema(),
        description="Stores what assets return as tables of a DuckDB database.",
    )


duckdb_pandas_io_manager = build_duckdb_io_manager([DuckDBPandasTypeHandler()])
duckdb_polars_io_manager = build_duckdb_io_manager([DuckDBPolarsTypeHandler()])


def _io_manager(
    handlers: Sequence[DbTypeHandler[Any]],
    default_load_type: type[Any] | None,
    *,
    name: str,
    database: str,
    schema: str | None,
    config: Mapping[str, Any],
    lock_timeout_s: float,
) -> WarehouseIOManager:
    store = DuckDBStore(database_at(database), dict(config), patience_of(lock_timeout_s))
    return WarehouseIOManager(
        name=name,
        store=store,
        schema=schema,
        handlers=handlers,
        default_load_type=default_load_type,
    )


def _table_of(
    asset_key: AssetKey, metadata: Mapping[str, Any], schema: str | None, database: str | None
) -> TableRef:
    table = asset_table(asset_key.path, metadata, kind=DUCKDB.kind, schema=schema)
    if database is None:
        return table
    catalog = catalog_name(database)
    if table.database is not None and DUCKDB.fold(table.database) != DUCKDB.fold(catalog or ""):
        return table
    location = absolute(database) if is_file(database) else None
    return replace(table, database=catalog, location=table.location or location)


def _known(value: str | None) -> str | None:
    return value.get_value() if isinstance(value, EnvVar) else value
