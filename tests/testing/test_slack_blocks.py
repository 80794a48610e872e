"""The validator against Slack's own models, which know many of the same limits."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

from dagweave.testing.slack.blocks import faults, total_length


def plain(length: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": "x" * length}


def mrkdwn(length: int) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": "x" * length}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "text": plain(3), "action_id": "a"} | more


def validate(block: dict[str, Any]) -> None:
    """Ask Slack's own models."""
    [parsed] = Block.parse_all([block])
    parsed.validate_json()
    for element in getattr(parsed, "elements", None) or ():
        element.validate_json()


IMAGE = {"type": "image", "image_url": "https://a/b.png", "alt_text": "b"}

AT_THE_LIMIT: dict[str, dict[str, Any]] = {
    "section text": {"type": "section", "text": mrkdwn(3_000)},
    "section fields": {"type": "section", "fields": [mrkdwn(2_000)] * 10},
    "section accessory": {"type": "section", "text": mrkdwn(1), "accessory": button()},
    "header": {"type": "header", "text": plain(150)},
    "context": {"type": "context", "elements": [mrkdwn(10)] * 9 + [IMAGE]},
    "actions": {"type": "actions", "elements": [button(action_id=str(n)) for n in range(25)]},
    "button": {"type": "actions", "elements": [button(text=plain(75), style="danger")]},
    "divider": {"type": "divider"},
    "image": IMAGE,
    "image title": IMAGE | {"title": plain(2_000)},
    "block id": {"type": "divider", "block_id": "x" * 255},
    "markdown": {"type": "markdown", "text": "# hello"},
}
PAST_THE_LIMIT: dict[str, tuple[dict[str, Any], str]] = {
    "section text": (
        {"type": "section", "text": mrkdwn(3_001)},
        "must be less than 3001 characters [json-pointer:/blocks/0/text/text]",
    ),
    "section without anything": (
        {"type": "section"},
        "missing required field: text [json-pointer:/blocks/0]",
    ),
    "section fields": (
        {"type": "section", "fields": [mrkdwn(1)] * 11},
        "no more than 10 items allowed [json-pointer:/blocks/0/fields]",
    ),
    "header": (
        {"type": "header", "text": plain(151)},
        "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
    ),
    "context": (
        {"type": "context", "elements": [mrkdwn(1)] * 11},
        "no more than 10 items allowed [json-pointer:/blocks/0/elements]",
    ),
    "actions": (
        {"type": "actions", "elements": [button(action_id=str(n)) for n in range(26)]},
        "no more than 25 items allowed [json-pointer:/blocks/0/elements]",
    ),
    "button": (
        {"type": "actions", "elements": [button(text=plain(76))]},
        "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]",
    ),
    "button style": (
        {"type": "actions", "elements": [button(style="loud")]},
        "must be primary or danger [json-pointer:/blocks/0/elements/0/style]",
    ),
    "image title": (
        IMAGE | {"title": plain(2_001)},
        "must be less than 2001 characters [json-pointer:/blocks/0/title/text]",
    ),
    "block id": (
        {"type": "divider", "block_id": "x" * 256},
        "must be less than 256 characters [json-pointer:/blocks/0/block_id]",
    ),
}
ONLY_SLACK_MINDS: dict[str, tuple[object, str]] = {
    "too many": ([{"type": "divider"}] * 51, "no more than 50 items allowed"),
    "no array": ({"type": "divider"}, "must be an array"),
    "no object": (["hello"], "must be an object [json-pointer:/blocks/0]"),
    "no type": ([{}], "unsupported type: None"),
    "a type of a modal": ([{"type": "input"}], "unsupported type: input"),
    "an empty text": ([{"type": "section", "text": mrkdwn(0)}], "more than 0 characters"),
    "a bare text": ([{"type": "section", "text": "hello"}], "missing required field: text"),
    "a number": ([{"type": "section", "text": {"type": "mrkdwn", "text": 1}}], "must be a string"),
    "a header in markup": ([{"type": "header", "text": mrkdwn(1)}], "valid enum value: plain_text"),
    "a long field": ([{"type": "section", "fields": [mrkdwn(2_001)]}], "less than 2001"),
    "no elements": ([{"type": "context", "elements": []}], "no less than 1 items"),
    "a button as context": ([{"type": "context", "elements": [button()]}], "valid enum value"),
    "an image that says nothing": (
        [{"type": "image", "image_url": "https://a/b.png"}],
        "missing required field: alt_text",
    ),
    "an id twice": (
        [{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}],
        "`block_id` already exists",
    ),
    "an element without a type": (
        [{"type": "actions", "elements": [{}]}],
        "missing required field",
    ),
    "no element at all": ([{"type": "actions", "elements": [1]}], "must be an object"),
    "no markdown": ([{"type": "markdown", "text": "x" * 12_001}], "less than 12001"),
}


@pytest.mark.parametrize("block", AT_THE_LIMIT.values(), ids=AT_THE_LIMIT)
def test_a_block_at_its_limit_is_taken_here_and_by_slacks_models(block: dict[str, Any]):
    assert faults([block]) == []
    validate(block)


@pytest.mark.parametrize(("block", "fault"), PAST_THE_LIMIT.values(), ids=PAST_THE_LIMIT)
def test_a_block_past_its_limit_is_refused_here_and_by_slacks_models(
    block: dict[str, Any], fault: str
):
    assert faults([block]) == [fault]
    with pytest.raises(SlackObjectFormationError):
        validate(block)


@pytest.mark.parametrize(("blocks", "fault"), ONLY_SLACK_MINDS.values(), ids=ONLY_SLACK_MINDS)
def test_what_slack_refuses_though_its_models_let_it_pass_is_refused_too(
    blocks: object, fault: str
):
    told = faults(blocks)

    assert len(told) == 1
    assert fault in told[0]


def test_every_fault_of_a_message_is_told():
    told = faults([{"type": "section"}, {"type": "header", "text": plain(151)}])

    assert [fault.rpartition(":")[2] for fault in told] == ["/blocks/0]", "/blocks/1/text/text]"]


def test_all_texts_count_towards_the_whole():
    section = {"type": "section", "text": mrkdwn(10), "fields": [mrkdwn(5), plain(5)]}

    assert total_length([section, {"type": "header", "text": plain(7)}]) == 27
