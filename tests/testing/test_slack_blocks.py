"""The validator against Slack's own models, which know many of the same limits."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.basic_objects import JsonObject
from slack_sdk.models.blocks import Block, InteractiveElement, Option

from dagweave.testing.slack.blocks import BLOCKS, INTERACTIVE, faults, total_length


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
        for option in getattr(element, "options", None) or ():
            Option(**option).to_dict()
        if confirmed := getattr(element, "confirm", None):
            confirmed.to_dict()


def options(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"text": plain(3), "value": str(n)} | more for n in range(count)]


def overflow(count: int) -> dict[str, Any]:
    return {"type": "overflow", "options": options(count, url="https://a")}


def select(count: int, **more: Any) -> dict[str, Any]:
    return {"type": "static_select", "options": options(count, **more)}


def confirm(**more: Any) -> dict[str, Any]:
    parts = {"title": plain(100), "text": mrkdwn(300), "confirm": plain(30), "deny": plain(30)}
    return parts | more


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
    "overflow": {"type": "actions", "elements": [overflow(5)]},
    "select": {"type": "actions", "elements": [select(100)]},
    "option text": {"type": "actions", "elements": [select(1, text=plain(75))]},
    "option value": {"type": "actions", "elements": [select(1, value="x" * 150)]},
    "confirm": {"type": "actions", "elements": [button(confirm=confirm())]},
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
    "overflow": (
        {"type": "actions", "elements": [overflow(6)]},
        "no more than 5 items allowed [json-pointer:/blocks/0/elements/0/options]",
    ),
    "select": (
        {"type": "actions", "elements": [select(101)]},
        "no more than 100 items allowed [json-pointer:/blocks/0/elements/0/options]",
    ),
    "select of nothing": (
        {"type": "actions", "elements": [{"type": "static_select"}]},
        "missing required field: options [json-pointer:/blocks/0/elements/0]",
    ),
    "option text": (
        {"type": "actions", "elements": [select(1, text=plain(76))]},
        "must be less than 76 characters [json-pointer:/blocks/0/elements/0/options/0/text/text]",
    ),
    "option value": (
        {"type": "actions", "elements": [select(1, value="x" * 151)]},
        "must be less than 151 characters [json-pointer:/blocks/0/elements/0/options/0/value]",
    ),
    "confirm title": (
        {"type": "actions", "elements": [button(confirm=confirm(title=plain(101)))]},
        "must be less than 101 characters [json-pointer:/blocks/0/elements/0/confirm/title/text]",
    ),
    "confirm text": (
        {"type": "actions", "elements": [button(confirm=confirm(text=plain(301)))]},
        "must be less than 301 characters [json-pointer:/blocks/0/elements/0/confirm/text/text]",
    ),
    "confirm button": (
        {"type": "actions", "elements": [button(confirm=confirm(deny=plain(31)))]},
        "must be less than 31 characters [json-pointer:/blocks/0/elements/0/confirm/deny/text]",
    ),
    "placeholder": (
        {"type": "actions", "elements": [select(1) | {"placeholder": plain(151)}]},
        "must be less than 151 characters [json-pointer:/blocks/0/elements/0/placeholder/text]",
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
    "no type": ([{}], "missing required field: type"),
    "no type of any block": ([{"type": 1}], "missing required field: type"),
    "an id of a new kind of block": ([{"type": "new", "block_id": "x" * 256}], "less than 256"),
    "an empty text": ([{"type": "section", "text": mrkdwn(0)}], "more than 0 characters"),
    "a bare text": ([{"type": "section", "text": "hello"}], "must be an object"),
    "a number": ([{"type": "section", "text": {"type": "mrkdwn", "text": 1}}], "must be a string"),
    "a header in markup": ([{"type": "header", "text": mrkdwn(1)}], "unsupported type: mrkdwn"),
    "a long field": ([{"type": "section", "fields": [mrkdwn(2_001)]}], "less than 2001"),
    "no elements": ([{"type": "context", "elements": []}], "no less than 1 items"),
    "a button as context": (
        [{"type": "context", "elements": [button()]}],
        "unsupported type: button",
    ),
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
    "an element of no kind": (
        [{"type": "actions", "elements": [{"type": "knob"}]}],
        "unsupported type: knob",
    ),
    "an element of a form": (
        [{"type": "actions", "elements": [{"type": "plain_text_input"}]}],
        "unsupported type: plain_text_input",
    ),
    "an image as an action": (
        [{"type": "actions", "elements": [IMAGE]}],
        "unsupported type: image",
    ),
    "an action twice": (
        [{"type": "actions", "elements": [button(), button()]}],
        "`action_id` already exists: a [json-pointer:/blocks/0/elements/1/action_id]",
    ),
    "a link of an option of a select": (
        [{"type": "actions", "elements": [select(1, url="https://a")]}],
        "invalid additional property: url",
    ),
    "emoji in markup": (
        [{"type": "section", "text": mrkdwn(1) | {"emoji": True}}],
        "invalid additional property: emoji [json-pointer:/blocks/0/text]",
    ),
    "plain text verbatim": (
        [{"type": "header", "text": plain(1) | {"verbatim": True}}],
        "invalid additional property: verbatim",
    ),
    "a button disabled": (
        [{"type": "actions", "elements": [button(disabled=True)]}],
        "invalid additional property: disabled",
    ),
    "a property of no block": (
        [{"type": "divider", "text": plain(1)}],
        "invalid additional property: text",
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


@pytest.mark.parametrize(
    "block",
    [
        {"type": "input", "label": plain(3), "element": {"type": "plain_text_input"}},
        {"type": "context_actions", "elements": [{"type": "feedback_buttons"}]},
        {"type": "plan", "title": "t"},
        {"type": "card", "body": mrkdwn(3)},
        {"type": "of next year", "anything": [1]},
    ],
    ids=lambda block: block["type"],
)
def test_a_kind_of_block_that_is_not_known_here_is_passed_over(block: dict[str, Any]):
    assert faults([block]) == []


def models(kind: type[JsonObject]) -> dict[str, set[str]]:
    """By type, the properties that Slack's own models know, `type` apart."""
    found: dict[str, set[str]] = {}
    for model in kind.__subclasses__():
        name = getattr(model, "type", None)
        if isinstance(name, str):
            # The property reads nothing of the instance.
            found[name] = set(object.__new__(model).attributes) - {"type"}
        found |= models(model)
    return found


# The base class of Slack's models knows it for all; of those here, Slack documents it for none.
NOT_OURS = {"alt_text"}


@pytest.mark.parametrize("kind", sorted(INTERACTIVE))
def test_an_element_takes_the_properties_that_slacks_models_know(kind: str):
    shape = INTERACTIVE[kind]

    assert {*shape.needed, *shape.optional} == models(InteractiveElement)[kind] - NOT_OURS


def test_the_elements_are_those_of_slacks_models_that_are_not_for_forms():
    known = set(models(InteractiveElement))
    of_forms = {kind for kind in known if "input" in kind}
    of_other_blocks = {"feedback_buttons", "icon_button"}

    assert set(INTERACTIVE) == known - of_forms - of_other_blocks


@pytest.mark.parametrize("kind", sorted(BLOCKS))
def test_a_block_takes_the_properties_that_slacks_models_know(kind: str):
    shape = BLOCKS[kind]

    assert {*shape.needed, *shape.optional} == models(Block)[kind]


def test_every_fault_of_a_message_is_told():
    told = faults([{"type": "section"}, {"type": "header", "text": plain(151)}])

    assert [fault.rpartition(":")[2] for fault in told] == ["/blocks/0]", "/blocks/1/text/text]"]


def test_all_texts_count_towards_the_whole():
    section = {"type": "section", "text": mrkdwn(10), "fields": [mrkdwn(5), plain(5)]}

    assert total_length([section, {"type": "header", "text": plain(7)}]) == 27
