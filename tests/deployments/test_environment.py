from __future__ import annotations

from functools import partial

import dagster as dg
import pytest

from dagweave._kernel.errors import InvalidInput
from dagweave.deployments import Deployment, by_deployment, current_deployment
from dagweave.deployments.environment import IS_BRANCH_VARIABLE, NAME_VARIABLE

CHOICES = {"prod": "snowflake", "branch": "a clone", "local": "duckdb"}


@pytest.fixture(autouse=True)
def _no_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME_VARIABLE, raising=False)
    monkeypatch.delenv(IS_BRANCH_VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("environ", "deployment", "chosen"),
    [
        ({}, Deployment("local"), "duckdb"),
        ({NAME_VARIABLE: "prod"}, Deployment("prod"), "snowflake"),
        ({NAME_VARIABLE: "prod", IS_BRANCH_VARIABLE: "0"}, Deployment("prod"), "snowflake"),
        (
            {NAME_VARIABLE: "3fa9c2", IS_BRANCH_VARIABLE: "1"},
            Deployment("3fa9c2", is_branch=True),
            "a clone",
        ),
        ({IS_BRANCH_VARIABLE: "1"}, Deployment("branch", is_branch=True), "a clone"),
    ],
)
def test_the_variables_of_dagster_plus_say_which_deployment_it_is(
    environ: dict[str, str],
    deployment: Deployment,
    chosen: str,
    monkeypatch: pytest.MonkeyPatch,
):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert current_deployment() == current_deployment(environ) == deployment
    assert by_deployment(CHOICES) == chosen


def test_a_branch_that_is_called_prod_gets_nothing_of_prod(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(NAME_VARIABLE, "prod")
    monkeypatch.setenv(IS_BRANCH_VARIABLE, "1")

    assert by_deployment(CHOICES) == "a clone"
    with pytest.raises(InvalidInput, match=r"branch deployment 'prod'(?s:.*)Add 'branch' to"):
        by_deployment({"prod": 1, "local": 2})


def test_an_unknown_name_is_an_error_that_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(NAME_VARIABLE, "staging")

    with pytest.raises(InvalidInput) as caught:
        by_deployment(CHOICES)

    told = str(caught.value)
    assert "Nothing was said of the deployment 'staging'." in told
    assert "There is something for: 'branch', 'local', 'prod'." in told
    assert "Add 'staging' to what by_deployment() is given" in told


def test_a_variable_that_says_neither_yes_nor_no_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(IS_BRANCH_VARIABLE, "perhaps")

    with pytest.raises(InvalidInput, match="'perhaps', which is neither yes nor no"):
        current_deployment()


def test_only_the_function_that_is_chosen_is_called():
    def explodes() -> str:
        raise AssertionError

    assert by_deployment({"prod": explodes, "local": lambda: "duckdb"}) == "duckdb"
    assert by_deployment({"prod": partial(str, 7), "local": explodes}, deployment="prod") == "7"


def test_what_is_no_function_is_returned_as_it_is():
    class Manager:
        """Called only by whoever wants one."""

    resource = dg.ResourceDefinition.hardcoded_resource(5)

    assert by_deployment({"local": Manager}) is Manager
    assert by_deployment({"local": resource}) is resource
    assert by_deployment({"local": None}) is None


def test_a_test_says_which_deployment_it_plays():
    assert by_deployment(CHOICES, deployment="prod") == "snowflake"
    assert by_deployment(CHOICES, deployment="branch") == "a clone"
    feature = Deployment("feature", is_branch=True)
    assert by_deployment(CHOICES, deployment=feature) == "a clone"
