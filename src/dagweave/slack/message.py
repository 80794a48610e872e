"""Write a notice as a Slack message, within Slack's limits and its markup. Pure functions.

Slack reads `&`, `<` and `>` as markup wherever text stands, and everything that a notice says is
foreign text: it is escaped, and what would call a whole channel is made harmless.
https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dagweave.notifier.text import cut, listed, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
# A mention, a link, a date: whatever Slack makes more of than is written.
_IN_ANGLES = re.compile(r"<[^<>]+>")
_BREAKS_NOTHING = "\N{ZERO WIDTH SPACE}"


@dataclass(frozen=True, slots=True)
class SlackMessage:
    """A message as `chat.postMessage` takes it.

    Attributes:
        text: All of it, in Slack's markup; what a phone's notification and a search show.
        blocks: The same, laid out; none if the text is shown as it is.
    """

    text: str
    blocks: tuple[Mapping[str, Any], ...] = ()


def render(notice: Notice) -> SlackMessage:
    """Write `notice` as a message: the user's own words if it has them, else laid out."""
    if notice.message is not None:
        return SlackMessage(_own_words(notice, notice.message))
    return SlackMessage("\n".join(_lines(notice)), tuple(_blocks(notice)))


def escape(text: str) -> str:
    """Return printable `text` so that Slack shows it as it is, and calls nobody for it."""
    return _CALLS_A_CHANNEL.sub(_harmless, "".join(map(_entity, text)))


def _own_words(notice: Notice, message: str) -> str:
    message, details = printable(message), printable(notice.details)
    # The user may call people and make links; an error that the user's words quote may not.
    for quoted in set(_IN_ANGLES.findall(details)):
        message = message.replace(quoted, escape(quoted))
    if _CALLS_A_CHANNEL.search(details):
        message = _CALLS_A_CHANNEL.sub(_harmless, message)
    link = f"\n{_link(notice.link)}" if notice.link else ""
    return cut(message, LONGEST_TEXT - len(link)) + link


def _lines(notice: Notice) -> Iterator[str]:
    yield _fitted(notice.summary, _LONGEST_LINE)
    yield f"Run ID: {_fitted(notice.run_id, _LONGEST_LINE)}"
    yield from (f"{label}: {value}" for label, value in _facts(notice))
    if notice.details:
        yield _code_block(notice.details)
    if notice.link:
        yield _link(notice.link)


def _blocks(notice: Notice) -> Iterator[Mapping[str, Any]]:
    summary = _fitted(notice.summary, _LONGEST_LINE).replace("*", "")
    run = _fitted(notice.run_id, _LONGEST_LINE)
    head = f"{_SIGNS[notice.severity]} *{summary}*\nRun ID: {run}"
    fields = [_mrkdwn(f"*{label}*\n{value}") for label, value in _facts(notice)]
    yield {"type": "section", "text": _mrkdwn(head)} | ({"fields": fields} if fields else {})
    if notice.details:
        yield {"type": "section", "text": _mrkdwn(_code_block(notice.details))}
    if notice.link:
        yield {"type": "context", "elements": [_mrkdwn(_link(notice.link))]}


def _facts(notice: Notice) -> Iterator[tuple[str, str]]:
    assets = "Not materialized" if notice.severity in {"error", "critical"} else "Assets"
    for label, value in (
        (assets, listed(notice.assets, limit=_MOST_NAMES)),
        ("Partition", notice.partition),
        ("Failed checks", listed(notice.failed_checks, limit=_MOST_NAMES)),
    ):
        if value:
            yield label, _fitted(value, _LONGEST_LINE)


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
