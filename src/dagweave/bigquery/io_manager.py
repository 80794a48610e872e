"""I/O managers that store frames as tables of BigQuery."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from dagweave._kernel.redact import redact
from dagweave.bigquery.connections import Connection, Settings
from dagweave.bigquery.dialect import BIGQUERY
from dagweave.bigquery.engine import BigQueryEngine
from dagweave.bigquery.jobs import Jobs
from dagweave.bigquery.resource import BASE_URL, GCP_CREDENTIALS, LABELS, LOCATION
from dagweave.bigquery.store import BigQueryStore
from dagweave.warehouse.factory import WarehouseIOManagerFactory, io_manager_definition, known
from dagweave.warehouse.frames import ArrowTables, PandasFrames, PolarsFrames
from dagweave.warehouse.handlers import FrameTypeHandler
from dagweave.warehouse.locate import asset_table
from dagweave.warehouse.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dagster import AssetKey, InitResourceContext, IOManagerDefinition

    from dagweave._dagster.private import DbTypeHandler
    from dagweave.warehouse.io_manager import WarehouseIOManager
    from dagweave.weaving.table_ref import TableRef


class _BigQueryTypeHandler(FrameTypeHandler):
    """What the handlers of all frames have in common."""

    kind = BIGQUERY.kind

    def tables(self, connection: Any) -> Tables:
        """The tables that a client reaches."""
        return Tables(BigQueryEngine(Connection(connection), Jobs(connection)))


class BigQueryPandasTypeHandler(_BigQueryTypeHandler, as_the_store_does=True):
    """Stores and loads `pandas.DataFrame`."""

    front_end = PandasFrames()


class BigQueryPolarsTypeHandler(_BigQueryTypeHandler, as_the_store_does=True):
    """Stores and loads `polars.DataFrame`."""

    front_end = PolarsFrames()


class BigQueryArrowTypeHandler(_BigQueryTypeHandler, as_the_store_does=True):
    """Stores and loads `pyarrow.Table`."""

    front_end = ArrowTables()


class BigQueryIOManager(WarehouseIOManagerFactory):
    """Stores what assets return as tables of BigQuery; the base of one's own I/O managers.

    A subclass says which types it handles, and what an input without annotation is loaded as:

    ```python
    from dagweave.bigquery import BigQueryIOManager, BigQueryPandasTypeHandler

    class MyIOManager(BigQueryIOManager):
        @staticmethod
        def type_handlers():
            return [BigQueryPandasTypeHandler()]

    io_manager = MyIOManager(project="my-project", dataset="analytics")
    ```

    Besides the types of its handlers it takes every frame by its annotation: pandas and Polars
    frames, lazy ones too, `pyarrow.Table` and `pyarrow.RecordBatchReader`.
    """

    # A wrong field must not show the credentials beside it.
    model_config = ConfigDict(hide_input_in_errors=True)

    project: str = Field(description="The project that tables are in, and that jobs run in.")
    dataset: str | None = Field(
        default=None,
        description="The dataset of tables whose asset names none, by its metadata `schema`. The "
        "same as `schema`.",
    )
    location: str | None = Field(default=None, description=LOCATION)
    gcp_credentials: str | None = Field(default=None, repr=False, description=GCP_CREDENTIALS)
    temporary_gcs_bucket: str | None = Field(
        default=None, description="For PySpark, of which there is none here yet. Not used."
    )
    timeout: float | None = Field(
        default=None,
        description="Longest wait for each job, in seconds; then it is cancelled. By default there "
        "is none.",
    )
    base_url: str | None = Field(default=None, description=BASE_URL)
    labels: dict[str, str] = Field(default={}, description=LABELS)

    def create_io_manager(self, context: InitResourceContext) -> WarehouseIOManager:
        """The I/O manager for one run, or one step."""
        return replace(super().create_io_manager(context), schema=self.dataset or self.schema_)

    def table_store(self) -> BigQueryStore:
        """The tables of the project."""
        settings = Settings(self.project, self.location, self.gcp_credentials, self.base_url)
        return BigQueryStore(settings, self.timeout, dict(self.labels))

    def table_of(self, asset_key: AssetKey, metadata: Mapping[str, Any]) -> TableRef | None:
        """The table that an asset is stored in, as far as it is known before a run.

        An `EnvVar` that is not set leaves open what it would say.
        """
        schema = known(self.dataset) or known(self.schema_)
        table = asset_table(asset_key.path, metadata, kind=BIGQUERY.kind, schema=schema)
        return replace(table, database=table.database or known(self.project))

    def mode(self) -> str | None:
        """The write mode; the official package's `truncate` is `replace`."""
        return "replace" if self.write_mode == "truncate" else self.write_mode

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What `repr` shows: no secret."""
        for name, value in super().__repr_args__():
            yield name, redact(value) if isinstance(value, str) else value


class BigQueryPandasIOManager(BigQueryIOManager):
    """Stores frames in BigQuery, and loads an input without annotation as a pandas frame.

    ```python
    from dagster import Definitions, EnvVar, asset
    from dagweave.bigquery import BigQueryPandasIOManager
    import pandas as pd

    @asset(key_prefix="analytics")
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"id": [1, 2]})

    io_manager = BigQueryPandasIOManager(
        project="my-project", gcp_credentials=EnvVar("GCP_CREDENTIALS")
    )
    defs = Definitions(assets=[orders], resources={"io_manager": io_manager})
    ```
    """

    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        """Pandas."""
        return [BigQueryPandasTypeHandler()]


class BigQueryPolarsIOManager(BigQueryIOManager):
    """Stores frames in BigQuery, and loads an input without annotation as a Polars frame."""

    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        """Polars."""
        return [BigQueryPolarsTypeHandler()]


class BigQueryArrowIOManager(BigQueryIOManager):
    """Stores frames in BigQuery, and loads an input without annotation as a `pyarrow.Table`."""

    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        """Arrow."""
        return [BigQueryArrowTypeHandler()]


def build_bigquery_io_manager(
    type_handlers: Sequence[DbTypeHandler[Any]], default_load_type: type[Any] | None = None
) -> IOManagerDefinition:
    """An I/O manager in the form that takes its settings by `configured`.

    Args:
        type_handlers: The handlers of the types that are stored and loaded, one for each type.
        default_load_type: What an input without annotation is loaded as; if it is not given, the
            only handler's type.
    """
    return io_manager_definition(BigQueryIOManager, type_handlers, default_load_type)


bigquery_pandas_io_manager = build_bigquery_io_manager([BigQueryPandasTypeHandler()])
