"""I/O managers that store frames as tables of a DuckDB database."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
from dagweave.warehouse.factory import (
    WarehouseIOManagerFactory,
    io_manager_definition,
    known,
)
from dagweave.warehouse.frames import PandasFrames, PolarsFrames
from dagweave.warehouse.handlers import FrameTypeHandler
from dagweave.warehouse.locate import asset_table
from dagweave.warehouse.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dagster import AssetKey, IOManagerDefinition

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


class DuckDBIOManager(WarehouseIOManagerFactory):
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
    lock_timeout_s: float = Field(default=DEFAULT_LOCK_TIMEOUT_S, description=LOCK_TIMEOUT_S)

    def table_store(self) -> DuckDBStore:
        """The tables of the database."""
        patience = patience_of(self.lock_timeout_s)
        return DuckDBStore(database_at(self.database), dict(self.connection_config), patience)

    def table_of(self, asset_key: AssetKey, metadata: Mapping[str, Any]) -> TableRef | None:
        """The table that an asset is stored in, as far as it is known before a run.

        An `EnvVar` that is not set leaves open what it would say.
        """
        return _table_of(asset_key, metadata, known(self.schema_), known(self.database))

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


def build_duckdb_io_manager(
    type_handlers: Sequence[DbTypeHandler[Any]], default_load_type: type[Any] | None = None
) -> IOManagerDefinition:
    """An I/O manager in the form that takes its settings by `configured`.

    Args:
        type_handlers: The handlers of the types that are stored and loaded, one for each type.
        default_load_type: What an input without annotation is loaded as; if it is not given, the
            only handler's type.
    """
    return io_manager_definition(DuckDBIOManager, type_handlers, default_load_type)


duckdb_pandas_io_manager = build_duckdb_io_manager([DuckDBPandasTypeHandler()])
duckdb_polars_io_manager = build_duckdb_io_manager([DuckDBPolarsTypeHandler()])


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
