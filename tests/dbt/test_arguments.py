from __future__ import annotations

import pytest

from dagweave.dbt.arguments import Arguments


@pytest.mark.parametrize(
    ("args", "rest", "selects", "excludes", "indirect"),
    [
        (["build"], ["build"], [], [], None),
        (["build", "--select", "a", "b+", "--full-refresh"], ["build", "--full-refresh"], ["a", "b+"], [], None),
        (["build", "-s", "a b", "--exclude=c d"], ["build"], ["a", "b"], ["c", "d"], None),
        (["run", "-m", "a", "--models", "b"], ["run"], ["a", "b"], [], None),
        (["--debug", "test", "--exclude", "x", "y", "--vars", '{"a": 1}'], ["--debug", "test", "--vars", '{"a": 1}'], [], ["x", "y"], None),
        (["build", "--indirect-selection", "cautious", "--select", "a"], ["build"], ["a"], [], "cautious"),
        (["build", "--vars", "--select"], ["build", "--vars"], [], [], None),
    ],
)  # fmt: skip
def test_what_selects_is_taken_out_with_all_its_values(
    args: list[str], rest: list[str], selects: list[str], excludes: list[str], indirect: str | None
):
    assert Arguments.read(args) == Arguments(rest, selects, excludes, indirect)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["build"], True),
        (["build", "--full-refresh"], True),
        (["run"], False),
        (["test"], False),
        (["build", "--select", "a"], False),
        (["build", "--exclude", "test_type:unit"], False),
        (["build", "--resource-type", "model"], False),
        (["build", "--exclude-resource-types=test"], False),
        (["build", "--selector", "nightly"], False),
    ],
)
def test_only_an_unnarrowed_build_is_expected_to_have_all_results(args: list[str], expected: bool):
    assert Arguments.read(args).builds_all is expected


def test_the_environment_may_narrow_a_build_as_well(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DBT_EXCLUDE_RESOURCE_TYPES", "unit_test test")

    assert not Arguments.read(["build"]).builds_all


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        (["build", "--vars", "{a: 1}", "-x"], ["--vars", "{a: 1}"]),
        (["build", "--vars={a: 1}"], ["--vars={a: 1}"]),
        (
            ["build", "--target", "prod", "-x", "--profiles-dir=p"],
            ["--target", "prod", "--profiles-dir=p"],
        ),
        (["build"], []),
    ],
)
def test_where_a_command_runs_is_found_for_a_second_one(args: list[str], kept: list[str]):
    assert Arguments.read(args).connection == kept


@pytest.mark.parametrize(
    ("args", "command"),
    [
        (["--log-level", "debug", "--no-partial-parse", "build"], "build"),
        (["run", "--vars", "build"], "run"),
        (["--target=build", "test"], "test"),
        (["--version"], None),
    ],
)
def test_the_command_is_told_from_the_values_of_options(args: list[str], command: str | None):
    assert Arguments.read(args).command == command


def test_of_options_given_twice_the_last_counts_as_for_dbt():
    twice = ["build", "--indirect-selection", "empty", "--indirect-selection=cautious"]

    assert Arguments.read(twice).indirect == "cautious"
