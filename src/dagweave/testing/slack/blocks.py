"""Find what Slack would not take about the blocks of a message.

The limits, and the wording of what Slack says, are those of
https://docs.slack.dev/reference/block-kit/blocks and of answers seen in public.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MOST_BLOCKS = 50
# Undocumented; seen by many: https://github.com/slackapi/bolt-js/issues/2509
LONGEST_IN_ALL = 13_200

_LONGEST_ID = 255
_LONGEST_URL = 3_000
_LONGEST_TEXT_OBJECT = 3_000

Json = dict[str, Any]


def faults(blocks: object) -> list[str]:
    """Say what is wrong with `blocks`, in Slack's words; nothing if Slack would take them."""
    return list(_message(blocks))


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


def _message(blocks: object) -> Iterator[str]:
    if not isinstance(blocks, list):
        yield "must be an array [json-pointer:/blocks]"
        return
    items = cast("list[object]", blocks)
    if len(items) > MOST_BLOCKS:
        yield f"no more than {MOST_BLOCKS} items allowed [json-pointer:/blocks]"
    ids: set[str] = set()
    for at, block in enumerate(items):
        pointer = f"/blocks/{at}"
        if not isinstance(block, dict):
            yield f"must be an object [json-pointer:{pointer}]"
            continue
        yield from _block(cast("Json", block), pointer)
        block_id = cast("Json", block).get("block_id")
        if isinstance(block_id, str) and block_id in ids:
            yield f"`block_id` already exists: {block_id} [json-pointer:{pointer}/block_id]"
        if isinstance(block_id, str):
            ids.add(block_id)


def _block(block: Json, at: str) -> Iterator[str]:
    yield from _string(block.get("block_id"), f"{at}/block_id", _LONGEST_ID, needed=False)
    kind = block.get("type")
    if kind in _UNCHECKED:
        return
    check = _CHECKS.get(kind) if isinstance(kind, str) else None
    if check is None:
        yield f"unsupported type: {kind} [json-pointer:{at}/type]"
    else:
        yield from check(block, at)


def _section(block: Json, at: str) -> Iterator[str]:
    text, fields = block.get("text"), block.get("fields")
    if text is None and not fields:
        yield f"missing required field: text [json-pointer:{at}]"
    if text is not None:
        yield from _text(text, f"{at}/text", 3_000)
    if fields is not None:
        yield from _each(fields, f"{at}/fields", 10, lambda field, spot: _text(field, spot, 2_000))
    accessory = block.get("accessory")
    if accessory is not None:
        yield from _element(accessory, f"{at}/accessory")


def _header(block: Json, at: str) -> Iterator[str]:
    yield from _text(block.get("text"), f"{at}/text", 150, plain=True)


def _context(block: Json, at: str) -> Iterator[str]:
    yield from _each(block.get("elements"), f"{at}/elements", 10, _text_or_image)


def _text_or_image(item: object, at: str) -> Iterator[str]:
    kind = cast("Json", item).get("type") if isinstance(item, dict) else None
    element = cast("object", item)
    if kind == "image":
        yield from _element(element, at)
    else:
        yield from _text(element, at, _LONGEST_TEXT_OBJECT)


def _actions(block: Json, at: str) -> Iterator[str]:
    yield from _each(block.get("elements"), f"{at}/elements", 25, _element)


def _image(block: Json, at: str) -> Iterator[str]:
    yield from _string(block.get("alt_text"), f"{at}/alt_text", 2_000)
    if block.get("slack_file") is None:
        yield from _string(block.get("image_url"), f"{at}/image_url", _LONGEST_URL)
    if block.get("title") is not None:
        yield from _text(block["title"], f"{at}/title", 2_000, plain=True)


def _markdown(block: Json, at: str) -> Iterator[str]:
    yield from _string(block.get("text"), f"{at}/text", 12_000)


def _element(element: object, at: str) -> Iterator[str]:
    if not isinstance(element, dict):
        yield f"must be an object [json-pointer:{at}]"
        return
    item = cast("Json", element)
    yield from _string(item.get("action_id"), f"{at}/action_id", _LONGEST_ID, needed=False)
    kind = item.get("type")
    if kind == "button":
        yield from _text(item.get("text"), f"{at}/text", 75, plain=True)
        yield from _string(item.get("url"), f"{at}/url", _LONGEST_URL, needed=False)
        yield from _string(item.get("value"), f"{at}/value", 2_000, needed=False)
        if item.get("style") not in {None, "primary", "danger"}:
            yield f"must be primary or danger [json-pointer:{at}/style]"
    elif kind == "image":
        yield from _image(item, at)
    elif not isinstance(kind, str):
        yield f"missing required field: type [json-pointer:{at}]"


def _each(
    items: object, at: str, most: int, check: Callable[[object, str], Iterator[str]]
) -> Iterator[str]:
    if not isinstance(items, list) or not items:
        yield f"no less than 1 items allowed [json-pointer:{at}]"
        return
    listed = cast("list[object]", items)
    if len(listed) > most:
        yield f"no more than {most} items allowed [json-pointer:{at}]"
    for index, item in enumerate(listed):
        yield from check(item, f"{at}/{index}")


def _text(text: object, at: str, longest: int, *, plain: bool = False) -> Iterator[str]:
    # https://docs.slack.dev/reference/block-kit/composition-objects/text-object
    if not isinstance(text, dict):
        yield f"missing required field: text [json-pointer:{at.rpartition('/')[0]}]"
        return
    item = cast("Json", text)
    kinds = ["plain_text"] if plain else ["plain_text", "mrkdwn"]
    if item.get("type") not in kinds:
        yield f"must be a valid enum value: {', '.join(kinds)} [json-pointer:{at}/type]"
    else:
        yield from _string(item.get("text"), f"{at}/text", longest)


def _string(value: object, at: str, longest: int, *, needed: bool = True) -> Iterator[str]:
    if value is None and not needed:
        return
    if value is None:
        name = at.rpartition("/")
        yield f"missing required field: {name[2]} [json-pointer:{name[0]}]"
    elif not isinstance(value, str):
        yield f"must be a string [json-pointer:{at}]"
    elif needed and not value:
        yield f"must be more than 0 characters [json-pointer:{at}]"
    elif len(value) > longest:
        yield f"must be less than {longest + 1} characters [json-pointer:{at}]"


_CHECKS: Final[Mapping[str, Callable[[Json, str], Iterator[str]]]] = {
    "actions": _actions,
    "context": _context,
    "header": _header,
    "image": _image,
    "markdown": _markdown,
    "section": _section,
}
# A divider has nothing to check; what Slack demands of the others is not checked here.
_UNCHECKED: Final = frozenset({"divider", "file", "rich_text", "table", "video"})
