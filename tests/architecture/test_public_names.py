from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import dagweave

INTEGRATIONS = (
    "bigquery",
    "airbyte",
    "databricks",
    "dbt",
    "dlt",
    "duckdb",
    "fivetran",
    "pagerduty",
    "slack",
    "snowflake",
)
PUBLIC = (*INTEGRATIONS, "deployments", "notifier", "testing", "weaving")


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_package_says_what_it_is_and_lists_its_names_in_order(name: str):
    package = importlib.import_module(f"dagweave.{name}")

    assert package.__doc__
    assert package.__all__ == sorted(package.__all__)
    assert [listed for listed in package.__all__ if not hasattr(package, listed)] == []


@pytest.mark.parametrize("name", PUBLIC)
def test_what_a_public_package_shows_is_what_it_lists(name: str):
    package = importlib.import_module(f"dagweave.{name}")
    rooms = {room.name for room in pkgutil.iter_modules(package.__path__)}

    shown = {
        key
        for key, value in vars(package).items()
        if not key.startswith("_") and not (isinstance(value, ModuleType) and key in rooms)
    }

    assert shown - {"annotations"} == set(package.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_says_what_it_does(name: str):
    package = importlib.import_module(f"dagweave.{name}")

    ours = {listed: getattr(package, listed) for listed in package.__all__}
    silent = [
        listed
        for listed, value in ours.items()
        # What is Dagster's own, or the instance of a class of Dagster, is documented there.
        if getattr(value, "__module__", "").startswith("dagweave") and not value.__doc__
    ]
    assert silent == []


def test_no_vendor_is_shadowed_at_the_top():
    assert {key for key in vars(dagweave) if not key.startswith("_")} <= {
        room.name for room in pkgutil.iter_modules(dagweave.__path__)
    }
