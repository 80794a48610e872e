"""I/O managers that store frames as tables of Unity Catalog.

Without `from __future__ import annotations`: Dagster reads the annotations of these classes.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dagster import get_dagster_logger
from pydantic import ConfigDict, Field, field_validator

from dagweave._kernel.errors import InvalidInput
from dagweave.databricks.dialect import DATABRICKS
from dagweave.databricks.engine import DatabricksEngine
from dagweave.databricks.resource import (
    HOST,
    TOKEN,
    AzureServicePrincipalCredentials,
    OauthCredentials,
    harmless,
    login_of,
)
from dagweave.databricks.store import DatabricksStore
from dagweave.warehouse.factory import WarehouseIOManagerFactory, io_manager_definition, known
from dagweave.warehouse.frames import ArrowTables, PandasFrames, PolarsFrames
from dagweave.warehouse.handlers import FrameTypeHandler
from dagweave.warehouse.locate import asset_table
from dagweave.warehouse.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dagster import AssetKey, IOManagerDefinition

    from dagweave._dagster.private import DbTypeHandler
    from dagweave.weaving.table_ref import TableRef


class _DatabricksTypeHandler(FrameTypeHandler):
    """What the handlers of all frames have in common."""

    kind = DATABRICKS.kind

    def tables(self, connection: Any) -> Tables:
        """The tables that a connection reaches."""
        return Tables(DatabricksEngine(connection, "A table of Databricks was not reached."))


class DatabricksPandasTypeHandler(_DatabricksTypeHandler, as_the_store_does=True):
    """Stores and loads `pandas.DataFrame`."""

    front_end = PandasFrames()


class DatabricksPolarsTypeHandler(_DatabricksTypeHandler, as_the_store_does=True):
    """Stores and loads `polars.DataFrame`."""

    front_end = PolarsFrames()


class DatabricksArrowTypeHandler(_DatabricksTypeHandler, as_the_store_does=True):
    """Stores and loads `pyarrow.Table`."""

    front_end = ArrowTables()


class DatabricksIOManager(WarehouseIOManagerFactory):
    """Stores what assets return as tables of Unity Catalog; the base of one's own I/O managers.

    A subclass says which types it handles, and what an input without annotation is loaded as:

    ```python
    from dagster import EnvVar
    from dagweave.databricks import DatabricksIOManager, DatabricksPandasTypeHandler

    class MyIOManager(DatabricksIOManager):
        @staticmethod
        def type_handlers():
            return [DatabricksPandasTypeHandler()]

    io_manager = MyIOManager(
        host=EnvVar("DATABRICKS_HOST"),
        token=EnvVar("DATABRICKS_TOKEN"),
        warehouse_id="a1b2c3d4e5f60718",
        catalog="analytics",
    )
    ```

    Besides the types of its handlers it takes every frame by its annotation: pandas and Polars
    frames, lazy ones too, `pyarrow.Table` and `pyarrow.RecordBatchReader`.
    """

    # A wrong field must not show the token beside it; who imports this may not use it.
    model_config = ConfigDict(hide_input_in_errors=True, defer_build=True)

    host: str | None = Field(default=None, description=HOST)
    token: str | None = Field(default=None, repr=False, description=TOKEN)
    oauth_credentials: OauthCredentials | None = Field(
        default=None, description="A service principal, which logs in by OAuth."
    )
    azure_credentials: AzureServicePrincipalCredentials | None = Field(
        default=None, description="A service principal of Microsoft Entra ID."
    )
    warehouse_id: str = Field(
        description="The SQL warehouse that carries out the statements: its id, or its HTTP path "
        "(/sql/1.0/warehouses/...). One that is stopped is started, and waited for."
    )
    catalog: str = Field(description="The catalog of tables whose asset names none.")
    staging_volume: str | None = Field(
        default=None,
        description="The volume that rows pass through, as catalog.schema.volume; without it, a "
        "volume dagweave_staging is made in the schema of each table.",
    )
    statement_timeout_s: float | None = Field(
        default=None,
        description="Longest time, in seconds, that one statement may take, the start of the SQL "
        "warehouse included; then it is cancelled. Without it, there is no limit.",
    )

    @field_validator("staging_volume")
    @classmethod
    def _volume_has_three_parts(cls, value: Any) -> Any:
        if isinstance(value, str) and value.count(".") != 2:
            raise InvalidInput(
                f"{value!r} does not name a volume.", remedy="Write catalog.schema.volume."
            )
        return value

    def table_store(self) -> DatabricksStore:
        """The tables of the catalog."""
        return DatabricksStore(
            login_of(self),
            self.warehouse_id.rpartition("/")[2],
            self.catalog,
            self.staging_volume,
            self.statement_timeout_s,
            get_dagster_logger("dagweave.databricks").info,
        )

    def table_of(self, asset_key: "AssetKey", metadata: "Mapping[str, Any]") -> "TableRef | None":
        """The table that an asset is stored in, as far as it is known before a run."""
        schema = known(self.schema_)
        table = asset_table(asset_key.path, metadata, kind=DATABRICKS.kind, schema=schema)
        return replace(table, database=table.database or known(self.catalog))

    def __repr_args__(self) -> "Iterable[tuple[str | None, Any]]":
        """What `repr` shows: no secret."""
        return harmless(super().__repr_args__())


class DatabricksPandasIOManager(DatabricksIOManager):
    """Stores frames in Unity Catalog, and loads an input without annotation as a pandas frame.

    ```python
    from dagster import Definitions, EnvVar, asset
    from dagweave.databricks import DatabricksPandasIOManager
    import pandas as pd

    @asset(key_prefix="marts")
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"id": [1, 2]})

    io_manager = DatabricksPandasIOManager(
        host=EnvVar("DATABRICKS_HOST"),
        token=EnvVar("DATABRICKS_TOKEN"),
        warehouse_id="a1b2c3d4e5f60718",
        catalog="analytics",
    )
    defs = Definitions(assets=[orders], resources={"io_manager": io_manager})
    ```
    """

    @staticmethod
    def type_handlers() -> "Sequence[DbTypeHandler[Any]]":
        """Pandas."""
        return [DatabricksPandasTypeHandler()]


class DatabricksPolarsIOManager(DatabricksIOManager):
    """Stores frames in Unity Catalog, and loads an input without annotation as a Polars frame."""

    @staticmethod
    def type_handlers() -> "Sequence[DbTypeHandler[Any]]":
        """Polars."""
        return [DatabricksPolarsTypeHandler()]


class DatabricksArrowIOManager(DatabricksIOManager):
    """Stores frames in Unity Catalog, and loads an input without annotation as a `pyarrow.Table`."""

    @staticmethod
    def type_handlers() -> "Sequence[DbTypeHandler[Any]]":
        """Arrow."""
        return [DatabricksArrowTypeHandler()]


def build_databricks_io_manager(
    type_handlers: "Sequence[DbTypeHandler[Any]]", default_load_type: type[Any] | None = None
) -> "IOManagerDefinition":
    """An I/O manager in the form that takes its settings by `configured`.

    Args:
        type_handlers: The handlers of the types that are stored and loaded, one for each type.
        default_load_type: What an input without annotation is loaded as; if it is not given, the
            only handler's type.
    """
    return io_manager_definition(DatabricksIOManager, type_handlers, default_load_type)
