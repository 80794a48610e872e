"""Find what Slack would not take about the blocks of a message.

The tables are those of https://docs.slack.dev/reference/block-kit, as far as a message can show it;
the wording of what Slack says is that of answers seen in public.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from dagweave.testing.slack.shapes import Object, anything, array, by_type, choice, string

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagweave.testing.slack.shapes import Check

MOST_BLOCKS = 50
# Undocumented; seen by many: https://github.com/slackapi/bolt-js/issues/2509
LONGEST_IN_ALL = 13_200

Json = dict[str, Any]


def faults(blocks: object, at: str = "/blocks") -> list[str]:
    """Say what is wrong with `blocks`, in Slack's words; nothing if Slack would take them.

    Args:
        at: Where the blocks stand in the message.
    """
    return list(_message(blocks, at))


def total_length(blocks: object) -> int:
    """How many characters all the texts in `blocks` have together."""
    if isinstance(blocks, list):
        return sum(map(total_length, cast("list[object]", blocks)))
    if isinstance(blocks, dict):
        block = cast("Json", blocks)
        text = block.get("text")
        own = len(text) if isinstance(text, str) else 0
        return own + sum(total_length(value) for value in block.values())
    return 0


def _message(blocks: object, at: str) -> Iterator[str]:
    if not isinstance(blocks, list):
        yield f"must be an array [json-pointer:{at}]"
        return
    items = cast("list[object]", blocks)
    if len(items) > MOST_BLOCKS:
        yield f"no more than {MOST_BLOCKS} items allowed [json-pointer:{at}]"
    for index, block in enumerate(items):
        yield from _BLOCK(block, f"{at}/{index}")
        elements = cast("Json", block).get("elements") if isinstance(block, dict) else None
        yield from _twice("action_id", elements, f"{at}/{index}/elements")
    yield from _twice("block_id", items, at)


def _twice(name: str, items: object, at: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(cast("list[object]", items) if isinstance(items, list) else ()):
        found = cast("Json", item).get(name) if isinstance(item, dict) else None
        if isinstance(found, str) and found in seen:
            yield f"`{name}` already exists: {found} [json-pointer:{at}/{index}/{name}]"
        if isinstance(found, str):
            seen.add(found)


def _plain(longest: int) -> Check:
    return by_type({"plain_text": _texts(longest)["plain_text"]})


def _text(longest: int) -> Check:
    return by_type(_texts(longest))


def _texts(longest: int) -> dict[str, Check]:
    text = {"text": string(longest)}
    return {"plain_text": Object(text, _any("emoji")), "mrkdwn": Object(text, _any("verbatim"))}


def _other(block: object, at: str) -> Iterator[str]:
    yield from Object({}, _any(*cast("Json", block)) | _BLOCK_ID)(block, at)


def _any(*names: str) -> dict[str, Check]:
    return dict.fromkeys(names, anything)


_ID: Final = string(255, shortest=0)
_URL: Final = string(3_000)
_STYLE: Final = choice("primary", "danger")

_CONFIRM: Final = Object(
    {"title": _plain(100), "text": _text(300), "confirm": _plain(30), "deny": _plain(30)},
    {"style": _STYLE},
)
_VALUE: Final[dict[str, Check]] = {"value": string(150)}
_PLAIN: Final[dict[str, Check]] = {"description": _plain(75)}
_OPTION: Final = Object(_VALUE | {"text": _plain(75)}, _PLAIN)
_OPTION_WITH_LINK: Final = Object(_VALUE | {"text": _plain(75)}, _PLAIN | {"url": _URL})
_OPTION_WITH_MARKUP: Final = Object(_VALUE | {"text": _text(75)}, {"description": _text(75)})
_GROUP: Final = Object({"label": _plain(75), "options": array(_OPTION, 100)})

_BUTTON: Final[dict[str, Check]] = {
    "action_id": _ID,
    "accessibility_label": string(75),
    "style": _STYLE,
}
_FIELD: Final[dict[str, Check]] = {
    "action_id": _ID,
    "confirm": _CONFIRM,
    "placeholder": _plain(150),
} | _any("focus_on_load")
_CHOICES: Final = {"options": array(_OPTION, 100), "option_groups": array(_GROUP, 100)}
_EITHER_CHOICES: Final = ("options", "option_groups")
_MARKED_CHOICES: Final[dict[str, Check]] = {"options": array(_OPTION_WITH_MARKUP, 10)}
_CONVERSATIONS: Final = _any("default_to_current_conversation", "filter")

# What can be clicked in a message; what only a form has (plain_text_input, ...) is none of it.
INTERACTIVE: Final[Mapping[str, Object]] = {
    "button": Object(
        {"text": _plain(75)},
        _BUTTON
        | {"confirm": _CONFIRM, "url": _URL, "value": string(2_000, shortest=0)}
        | _any("agent_prompt", "agent_prompt_display", "visible_to_user_ids"),
    ),
    "channels_select": Object({}, _FIELD | _any("initial_channel", "response_url_enabled")),
    "checkboxes": Object(_MARKED_CHOICES, _FIELD | _any("initial_options")),
    "conversations_select": Object(
        {}, _FIELD | _CONVERSATIONS | _any("initial_conversation", "response_url_enabled")
    ),
    "datepicker": Object({}, _FIELD | _any("initial_date")),
    "datetimepicker": Object({}, _FIELD | _any("initial_date_time")),
    "external_select": Object({}, _FIELD | _any("initial_option", "min_query_length")),
    "multi_channels_select": Object({}, _FIELD | _any("initial_channels", "max_selected_items")),
    "multi_conversations_select": Object(
        {}, _FIELD | _CONVERSATIONS | _any("initial_conversations", "max_selected_items")
    ),
    "multi_external_select": Object(
        {}, _FIELD | _any("initial_options", "max_selected_items", "min_query_length")
    ),
    "multi_static_select": Object(
        {}, _FIELD | _CHOICES | _any("initial_options", "max_selected_items"), _EITHER_CHOICES
    ),
    "multi_users_select": Object({}, _FIELD | _any("initial_users", "max_selected_items")),
    "overflow": Object(
        {"options": array(_OPTION_WITH_LINK, 5)}, {"action_id": _ID, "confirm": _CONFIRM}
    ),
    "radio_buttons": Object(_MARKED_CHOICES, _FIELD | _any("initial_option")),
    "static_select": Object({}, _FIELD | _CHOICES | _any("initial_option"), _EITHER_CHOICES),
    "timepicker": Object({}, _FIELD | _any("initial_time", "timezone")),
    "users_select": Object({}, _FIELD | _any("initial_user")),
    "workflow_button": Object({"text": _plain(75)}, _BUTTON | _any("workflow")),
}

_WHERE: Final = ("image_url", "slack_file")
_IMAGE: Final[dict[str, Check]] = {"image_url": _URL, "slack_file": anything}
IMAGE: Final = Object({"alt_text": string(2_000)}, _IMAGE, _WHERE)

_BLOCK_ID: Final[dict[str, Check]] = {"block_id": _ID}
_ACCESSORY: Final = by_type({**INTERACTIVE, "image": IMAGE})
BLOCKS: Final[Mapping[str, Object]] = {
    "actions": Object({"elements": array(by_type(INTERACTIVE), 25)}, _BLOCK_ID),
    "context": Object(
        {"elements": array(by_type(_texts(3_000) | {"image": IMAGE}), 10)}, _BLOCK_ID
    ),
    "divider": Object({}, _BLOCK_ID),
    "header": Object({"text": _plain(150)}, _BLOCK_ID),
    "image": Object(IMAGE.needed, _BLOCK_ID | _IMAGE | {"title": _plain(2_000)}, _WHERE),
    "markdown": Object({"text": string(12_000)}, _BLOCK_ID),
    "section": Object(
        {},
        _BLOCK_ID
        | {"text": _text(3_000), "fields": array(_text(2_000), 10), "accessory": _ACCESSORY}
        | _any("expand"),
        ("text", "fields"),
    ),
}
# There are many more, and more every year: of those only the id is checked.
_BLOCK: Final = by_type(BLOCKS, others=_other)
