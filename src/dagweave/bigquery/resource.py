"""The BigQuery resource: a client for code of one's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dagster import ConfigurableResource, IAttachDifferentObjectToOpContext
from pydantic import ConfigDict, Field

from dagweave._kernel.redact import redact
from dagweave.bigquery.connections import Settings, close, connect, shared
from dagweave.bigquery.failures import logged_in

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from google.cloud.bigquery import Client

PROJECT = (
    "The project that jobs run in, and that tables are in. Without it, that of the credentials."
)
LOCATION = (
    "Where jobs run and datasets are made: `EU`, `us-central1`. Without it, BigQuery decides."
)
GCP_CREDENTIALS = (
    "The base64 of a key file: `base64 -w0 key.json`. Give it as an EnvVar, so that it is in no code "
    "and not shown in Dagster's UI. It stays within the process: no file is written, and no variable "
    "of the environment set. Without it, the credentials of the environment are used."
)
BASE_URL = (
    "Where BigQuery is, if not at Google's own address. Without it, the environment variable "
    "DAGWEAVE_BIGQUERY_BASE_URL is asked. An address with http:// is taken for an emulator, and gets "
    "no credentials."
)
LABELS = (
    "Labels of every job, by which costs are told apart. Capitals are lowered, and what a label may "
    "not have becomes an underscore."
)


class BigQueryResource(ConfigurableResource[Any], IAttachDifferentObjectToOpContext):
    """Connects to BigQuery.

    ```python
    from dagster import Definitions, EnvVar, asset
    from dagweave.bigquery import BigQueryResource

    @asset
    def orders(bigquery: BigQueryResource) -> None:
        with bigquery.get_client() as client:
            client.query_and_wait("CREATE OR REPLACE TABLE shop.orders AS SELECT 1 AS id")

    bigquery = BigQueryResource(
        project="my-project", location="EU", gcp_credentials=EnvVar("GCP_CREDENTIALS")
    )
    defs = Definitions(assets=[orders], resources={"bigquery": bigquery})
    ```

    A subclass may say `client_options()`, to reach BigQuery in a way of its own.
    """

    # A wrong field must not show the credentials beside it.
    model_config = ConfigDict(hide_input_in_errors=True)

    project: str | None = Field(default=None, description=PROJECT)
    location: str | None = Field(default=None, description=LOCATION)
    gcp_credentials: str | None = Field(default=None, repr=False, description=GCP_CREDENTIALS)
    base_url: str | None = Field(default=None, description=BASE_URL)
    labels: dict[str, str] = Field(default={}, description=LABELS)

    def client_options(self) -> Mapping[str, Any]:
        """More options of Google's client, as `google.api_core.client_options` has them. None here."""
        return {}

    @contextmanager
    def get_client(self) -> Generator[Client]:
        """Google's client, closed when the context ends, whatever happens.

        What BigQuery answers is raised as Google's client raises it.

        Raises:
            Refused: There are no credentials, or Google refused them. They are never shown.
            InvalidInput: The credentials or the address cannot be read.
            MissingExtra: The libraries of the extra `bigquery` are not installed.
        """
        settings = self._settings
        connection = connect(settings, self.labels, self.client_options())
        try:
            with logged_in("Logging in to BigQuery failed.", settings.secrets):
                yield connection.client
        finally:
            close(connection)

    def get_object_to_set_on_execution_context(self) -> Any:
        """What `context.resources` shows, where a resource is named by its key: Google's client."""
        return shared(self._settings, self.labels, self.client_options()).client

    @property
    def _settings(self) -> Settings:
        return Settings(self.project, self.location, self.gcp_credentials, self.base_url)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """What `repr` shows: no secret."""
        for name, value in super().__repr_args__():
            yield name, redact(value) if isinstance(value, str) else value
