"""Write a notice as a Slack message, within Slack's limits and its markup. Pure functions.

Slack reads `&`, `<` and `>` as markup wherever text stands, and everything that a notice says is
foreign text: it is escaped, and what would call a whole channel is made harmless.
https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dagweave.notifier.text import cut, each_text, facts, listed, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagweave.notifier.notice import Notice, Severity

# Slack cuts a longer text off at its end: https://api.slack.com/changelog/2018-04-truncating-really-long-messages
LONGEST_TEXT = 40_000
# A section takes 3,000: https://docs.slack.dev/reference/block-kit/blocks/section-block
LONGEST_DETAILS = 2_800
_LONGEST_LINE = 500
_LONGEST_LINK = 2_000
_MOST_NAMES = 8

_SIGNS: Final[Mapping[Severity, str]] = {
    "info": "\N{WHITE HEAVY CHECK MARK}",
    "warning": "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}",
    "error": "\N{CROSS MARK}",
    "critical": "\N{POLICE CARS REVOLVING LIGHT}",
}
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_CALLS_A_CHANNEL = re.compile(
    r"<!(?:channel|here|everyone|subteam)\b[^>]*>|@(?=(?:channel|here|everyone)\b)"
)
_MENTION = re.compile(r"<@[A-Z0-9]+>")
# A mention, a link, a date: whatever Slack makes more of than is written.
_IN_ANGLES = re.compile(r"<[^<>]+>")
_BREAKS_NOTHING = "\N{ZERO WIDTH SPACE}"


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """A message as `chat.postMessage` takes it.

    Attributes:
        text: All of it, in Slack's markup; what a phone's notification and a search show.
        blocks: The same, laid out; none if the text is shown as it is.
        file: What does not fit, whole, for a file in the message's thread.
    """

    text: str
    blocks: tuple[Mapping[str, Any], ...] = ()
    file: str | None = None


def render(
    notice: Notice, *, mentions: Sequence[str] = (), remark: str | None = None
) -> SlackMessage:
    """Write `notice` as a message: the user's own words if it has them, else laid out.

    Args:
        mentions: The owners, as `<@U...>` or in any other words.
        remark: A line about the message itself, in Slack's markup: that it failed before.
    """
    whole = printable(notice.full_details or notice.details)
    file = whole if _is_cut(notice.details) else None
    if notice.message is not None:
        return SlackMessage(*_own_words(notice, notice.message, remark), file=file)
    named = [
        each if _MENTION.fullmatch(each) else _fitted(each, _LONGEST_LINE) for each in mentions
    ]
    owners = listed(named, limit=_MOST_NAMES)
    text = "\n".join(_lines(notice, owners, remark))
    return SlackMessage(text, tuple(_blocks(notice, owners, remark)), file=file)


def escape(text: str) -> str:
    """Return printable `text` so that Slack shows it as it is, and calls nobody for it."""
    return _CALLS_A_CHANNEL.sub(_harmless, "".join(map(_entity, text)))


def quoted_harmlessly(text: str, details: str) -> str:
    """Return the user's own `text`, in which what it quotes of an error calls and links nobody.

    The user may call people and make links; an error that the user's words quote may not.
    """
    text, details = printable(text), printable(details)
    for quoted in set(_IN_ANGLES.findall(details)):
        text = text.replace(quoted, escape(quoted))
    return _CALLS_A_CHANNEL.sub(_harmless, text) if _CALLS_A_CHANNEL.search(details) else text


def _own_words(
    notice: Notice, message: str, remark: str | None
) -> tuple[str, tuple[Mapping[str, Any], ...]]:
    below = "".join(f"\n{line}" for line in (remark, notice.link and _link(notice.link)) if line)
    # Whoever repeats an error may repeat all of it, its causes included.
    error = f"{notice.details}\n{notice.full_details}"
    text = cut(quoted_harmlessly(message, error), LONGEST_TEXT - len(below)) + below
    blocks: list[dict[str, Any]] = [
        each_text(block, lambda part: quoted_harmlessly(part, error)) for block in notice.blocks
    ]
    if blocks and remark:
        blocks.append(_context(remark))
    if blocks and notice.link:
        blocks.append(_button(notice.link))
    return text, tuple(blocks)


def _lines(notice: Notice, owners: str, remark: str | None) -> Iterator[str]:
    yield _fitted(notice.summary, _LONGEST_LINE)
    if notice.run_id:
        yield f"Run ID: {_fitted(notice.run_id, _LONGEST_LINE)}"
    yield from (f"{label}: {value}" for label, value in _facts(notice, owners))
    if notice.details:
        yield _code_block(notice.details)
    yield from filter(None, [remark, notice.link and _link(notice.link)])


def _blocks(notice: Notice, owners: str, remark: str | None) -> Iterator[Mapping[str, Any]]:
    summary = _fitted(notice.summary, _LONGEST_LINE).replace("*", "")
    head = f"{_SIGNS[notice.severity]} *{summary}*"
    if notice.run_id:
        head += f"\nRun ID: {_fitted(notice.run_id, _LONGEST_LINE)}"
    fields = [_mrkdwn(f"*{label}*\n{value}") for label, value in _facts(notice, owners)]
    yield {"type": "section", "text": _mrkdwn(head)} | ({"fields": fields} if fields else {})
    if notice.details:
        yield {"type": "section", "text": _mrkdwn(_code_block(notice.details))}
    if remark:
        yield _context(remark)
    if notice.link:
        yield _context(_link(notice.link))


def _facts(notice: Notice, owners: str) -> Iterator[tuple[str, str]]:
    for label, value in facts(notice, most_names=_MOST_NAMES):
        yield label, _fitted(value, _LONGEST_LINE)
    if owners:
        yield "Owners", owners


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [_mrkdwn(text)]}


def _button(url: str) -> dict[str, Any]:
    label = {"type": "plain_text", "text": "View in Dagster UI"}
    return {
        "type": "actions",
        "elements": [{"type": "button", "text": label, "url": url[:_LONGEST_LINK]}],
    }


def _is_cut(details: str) -> bool:
    return sum(map(_width, printable(details))) > LONGEST_DETAILS


def _code_block(text: str) -> str:
    """`text` in a fence that it cannot break out of."""
    return f"```\n{_fitted(text, LONGEST_DETAILS).replace('``', f'`{_BREAKS_NOTHING}`')}\n```"


def _fitted(text: str, limit: int) -> str:
    return escape(cut(printable(text), limit, width=_width))


def _width(character: str) -> int:
    """The most that one character of `text` takes in the end, in what Slack may count."""
    if character in "`@":
        return 1 + len(_BREAKS_NOTHING)
    return 2 if character > "\uffff" else len(_entity(character))


def _entity(character: str) -> str:
    return _ENTITIES.get(character, character)


def _harmless(match: re.Match[str]) -> str:
    call = match.group()
    return "@" + _BREAKS_NOTHING if call == "@" else "".join(map(_entity, call))


def _link(url: str) -> str:
    # What would end the link early has no place in a URL, and is percent-encoded there.
    safe = url[:_LONGEST_LINK].replace("|", "%7C").replace("<", "%3C").replace(">", "%3E")
    return f"<{safe.replace('&', '&amp;')}|View in Dagster UI>"


def _mrkdwn(text: str) -> dict[str, Any]:
    # Verbatim: Slack makes no links and no mentions of its own out of it.
    return {"type": "mrkdwn", "text": text, "verbatim": True}
