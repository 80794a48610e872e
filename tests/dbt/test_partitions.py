"""What dbt is told of the partitions that a step runs for."""

import json
from typing import Any

import pytest
from dagster import (
    AssetExecutionContext,
    BackfillPolicy,
    DailyPartitionsDefinition,
    HourlyPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    PartitionsDefinition,
    StaticPartitionsDefinition,
    asset,
    materialize,
)

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import partition_args

# Dagster calls it beta.
pytestmark = pytest.mark.filterwarnings("ignore:.*`backfill_policy`")

DAYS = DailyPartitionsDefinition("2026-01-01")
SHOPS = StaticPartitionsDefinition(["berlin", "paris"])


def told(
    partitions: PartitionsDefinition[Any] | None,
    key: str | None = None,
    *,
    span: tuple[str, str] | None = None,
    **options: Any,
) -> dict[str, Any]:
    said: list[str] = []

    @asset(partitions_def=partitions, backfill_policy=BackfillPolicy.single_run())
    def a(context: AssetExecutionContext) -> None:
        said.extend(partition_args(context, **options))

    tags = (
        {
            "dagster/asset_partition_range_start": span[0],
            "dagster/asset_partition_range_end": span[1],
        }
        if span
        else {}
    )
    materialize([a], partition_key=key, tags=tags)
    option, variables = said
    assert option == "--vars"
    return json.loads(variables)


def test_a_day_is_a_window_whose_end_is_not_in_it():
    assert told(DAYS, "2026-01-05") == {
        "start": "2026-01-05T00:00:00+00:00",
        "end": "2026-01-06T00:00:00+00:00",
    }


def test_a_window_has_the_time_zone_of_its_partitions():
    hours = HourlyPartitionsDefinition("2026-01-01-00:00", timezone="America/New_York")

    assert told(hours, "2026-07-01-10:00")["start"] == "2026-07-01T10:00:00-04:00"


def test_many_partitions_of_one_run_are_one_window():
    window = told(
        DAYS, span=("2026-01-05", "2026-01-09"), start="min", end="max", date_format="%Y%m%d"
    )

    assert window == {"min": "20260105", "max": "20260110"}


def test_other_partitions_are_told_by_their_key_and_with_more_variables():
    assert told(SHOPS, "paris", partition="shop", variables={"limit": 5}) == {
        "shop": "paris",
        "limit": 5,
    }


def test_of_two_dimensions_the_one_in_time_is_a_window():
    both = MultiPartitionsDefinition({"day": DAYS, "shop": SHOPS})

    assert told(both, MultiPartitionKey({"day": "2026-01-05", "shop": "paris"})) == {
        "start": "2026-01-05T00:00:00+00:00",
        "end": "2026-01-06T00:00:00+00:00",
        "shop": "paris",
    }


def test_without_a_partition_and_with_several_that_are_no_window_it_says_so():
    with pytest.raises(InvalidInput, match="no partition"):
        told(None)
    with pytest.raises(InvalidInput, match=r"2 partitions(?s:.*)berlin, paris(?s:.*)multi_run"):
        told(SHOPS, span=("berlin", "paris"))
