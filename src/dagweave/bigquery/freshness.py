"""When tables were changed last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagweave._kernel.errors import InvalidInput
from dagweave.bigquery.connections import retry
from dagweave.bigquery.failures import is_missing, translated

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from google.cloud.bigquery import Client


def fetch_last_updated_timestamps(
    *, client: Client, dataset_id: str, table_ids: Sequence[str]
) -> Mapping[str, dt.datetime]:
    """When each of the tables was changed last, in UTC: by its rows, or its definition.

    It asks for the tables' metadata, which costs nothing. Of a view it is when its query was changed.

    ```python
    from dagster import MaterializeResult, asset
    from dagweave.bigquery import BigQueryResource, fetch_last_updated_timestamps

    @asset
    def report(bigquery: BigQueryResource) -> MaterializeResult:
        with bigquery.get_client() as client:
            changed = fetch_last_updated_timestamps(
                client=client, dataset_id="shop", table_ids=["orders"]
            )
        return MaterializeResult(metadata={"as_of": changed["orders"].isoformat()})
    ```

    Args:
        client: What `BigQueryResource.get_client()` gives.
        dataset_id: The dataset of the tables, `shop` or `project.shop`.
        table_ids: Their names.

    Raises:
        InvalidInput: There is no such table; or `table_ids` is empty.
        DagweaveError: Why BigQuery did not say: see `dagweave._kernel.errors`.
    """
    if not table_ids:
        raise InvalidInput("No tables were given to fetch the timestamps of.")
    dataset = dataset_id if "." in dataset_id else f"{client.project}.{dataset_id}"
    found: dict[str, dt.datetime] = {}
    missing: list[str] = []
    with translated("BigQuery did not say when its tables were changed."):
        for table in table_ids:
            try:
                changed = client.get_table(f"{dataset}.{table}", retry=retry()).modified
            except Exception as error:
                if not is_missing(error):
                    raise
                changed = None
            if changed is None:
                missing.append(table)
            else:
                found[table] = changed
    if missing:
        raise InvalidInput(
            f"BigQuery has no table {', '.join(missing)} in the dataset {dataset}.",
            remedy="Check the spelling, and that who comes may see it.",
        )
    return found
