from __future__ import annotations

import pickle

import pytest

from dagweave._kernel import errors
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


def test_a_message_says_what_then_what_was_seen_then_what_to_do():
    error = Refused(
        "Slack refused a message to #data.",
        seen="Slack says: is_archived\n[ERROR] note",
        remedy="Unarchive the channel.",
    )

    assert str(error) == (
        "Slack refused a message to #data.\n"
        "  Slack says: is_archived\n"
        "  [ERROR] note\n"
        "  Unarchive the channel."
    )


def test_parts_that_are_not_there_leave_no_gap():
    assert str(InvalidInput("No.")) == "No."
    assert str(InvalidInput("No.", remedy="Yes.")) == "No.\n  Yes."
    assert str(InvalidInput("No.", seen="")) == "No."


@pytest.mark.parametrize("part", ["what", "seen", "remedy"])
def test_no_part_shows_a_secret(part: str):
    parts = {"what": "It failed."} | {part: "at postgres://etl:hunter22@db"}
    error = WorkFailed(parts.pop("what"), **parts)

    assert "hunter22" not in str(error)
    assert "hunter22" not in repr(error)
    assert "etl:***@db" in getattr(error, part)


@pytest.mark.parametrize(
    ("kind", "retryable"),
    [
        (InvalidInput, False),
        (SchemaMismatch, False),
        (MissingExtra, False),
        (Refused, False),
        (WorkFailed, False),
        (Unavailable, True),
        (WaitTimeout, True),
    ],
)
def test_an_error_knows_whether_trying_again_can_help(kind: type[DagweaveError], retryable: bool):
    assert kind("It failed.").retryable is retryable
    assert issubclass(kind, DagweaveError)


def test_a_mismatch_of_columns_is_invalid_input():
    assert issubclass(SchemaMismatch, InvalidInput)


def test_the_drawing_of_the_tree_shows_every_error():
    classes = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, DagweaveError)
    ]

    drawing = errors.__doc__ or ""
    assert [name for name in classes if name not in drawing] == []


def test_an_error_survives_the_way_to_another_process():
    error = Unavailable("Slack is down.", seen="HTTP 503", remedy="Wait.")

    copy = pickle.loads(pickle.dumps(error))

    assert str(copy) == str(error)
    assert copy.remedy == "Wait."
