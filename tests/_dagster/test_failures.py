from __future__ import annotations

import dagster as dg
import pytest

from dagweave._dagster.failures import as_failure, failures
from dagweave._kernel.errors import (
    DagweaveError,
    InvalidInput,
    MissingExtra,
    Refused,
    SchemaMismatch,
    Unavailable,
    WaitTimeout,
    WorkFailed,
)

RETRIES = {
    InvalidInput: False,
    SchemaMismatch: False,
    MissingExtra: False,
    Refused: False,
    WorkFailed: True,
    Unavailable: True,
    WaitTimeout: True,
}


@pytest.mark.parametrize(("kind", "allowed"), RETRIES.items())
def test_a_step_is_retried_only_where_that_can_help(kind: type[DagweaveError], allowed: bool):
    attempts: list[int] = []

    @dg.op(retry_policy=dg.RetryPolicy(max_retries=2))
    def step(context) -> None:
        attempts.append(context.retry_number)
        with failures():
            raise kind("It failed.")

    @dg.job
    def nightly() -> None:
        step()

    assert not nightly.execute_in_process(raise_on_error=False).success
    assert attempts == ([0, 1, 2] if allowed else [0])


def test_the_failure_says_what_the_error_says_and_comes_from_it():
    error = Refused("Slack refused it.", seen="invalid_auth", remedy="Use another token.")

    with pytest.raises(dg.Failure) as caught, failures():
        raise error

    assert caught.value.description == (
        "Refused: Slack refused it.\n  invalid_auth\n  Use another token."
    )
    assert caught.value.__cause__ is error


def test_an_error_that_is_not_ours_passes_as_it_is():
    with pytest.raises(KeyError), failures():
        raise KeyError("x")


def test_without_an_error_nothing_happens():
    with failures():
        value = 1

    assert value == 1


def test_a_failure_can_be_of_a_kind_of_its_own():
    class Special(dg.Failure): ...

    assert isinstance(as_failure(WorkFailed("It failed."), Special), Special)
    with pytest.raises(Special), failures(Special):
        raise WorkFailed("It failed.")
