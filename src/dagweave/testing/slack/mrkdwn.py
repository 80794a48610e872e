"""Show Slack's markup as HTML. Everything that is not markup is escaped.

https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import html
import itertools
import re
from typing import Final

_FENCE = re.compile(r"```\n?(.*?)\n?```", re.DOTALL)
_QUOTE_MARK = re.compile(r"^(?:&gt;|>) ?")
_INLINE = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|<(?P<angle>[^<>\n]+)>"
    r"|(?<![\w*])\*(?P<b>[^\s*](?:[^*\n]*[^\s*])?)\*(?![\w*])"
    r"|(?<![\w_])_(?P<i>[^\s_](?:[^_\n]*[^\s_])?)_(?![\w_])"
    r"|(?<![\w~])~(?P<s>[^\s~](?:[^~\n]*[^\s~])?)~(?![\w~])"
    r"|:(?P<emoji>[a-z0-9_+-]+):"
)
# The few that alerts are made of; any other stays as it is written.
_EMOJI: Final = {
    "fire": "\N{FIRE}",
    "large_green_circle": "\N{LARGE GREEN CIRCLE}",
    "moneybag": "\N{MONEY BAG}",
    "red_circle": "\N{LARGE RED CIRCLE}",
    "rotating_light": "\N{POLICE CARS REVOLVING LIGHT}",
    "tada": "\N{PARTY POPPER}",
    "warning": "\N{WARNING SIGN}\N{VARIATION SELECTOR-16}",
    "wave": "\N{WAVING HAND SIGN}",
    "white_check_mark": "\N{WHITE HEAVY CHECK MARK}",
    "x": "\N{CROSS MARK}",
}
_SAFE_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)


def to_html(text: str) -> str:
    """Return `text`, written in Slack's markup, as HTML."""
    parts = _FENCE.split(text)
    # The odd parts were fenced.
    return "".join(
        f"<pre>{_literal(part)}</pre>" if index % 2 else _paragraphs(part)
        for index, part in enumerate(parts)
    )


def plain_to_html(text: str) -> str:
    """Return `text`, which is in no markup but may name emoji, as HTML."""
    shown = re.sub(r":([a-z0-9_+-]+):", lambda found: _emoji(found.group(1)), text)
    return html.escape(shown).replace("\n", "<br>")


def link(url: str, label: str) -> str:
    """Return a link, or the mere label if `url` leads anywhere but to the web or to mail."""
    if not _SAFE_LINK.match(url):
        return html.escape(label)
    return f'<a href="{html.escape(url)}" rel="noreferrer">{html.escape(label)}</a>'


def _paragraphs(text: str) -> str:
    shown: list[str] = []
    lines = text.strip("\n").split("\n") if text.strip("\n") else []
    for quoted, group in itertools.groupby(lines, lambda line: bool(_QUOTE_MARK.match(line))):
        rows = [_QUOTE_MARK.sub("", line) if quoted else line for line in group]
        inner = "<br>".join(map(_inline, rows))
        shown.append(f"<blockquote>{inner}</blockquote>" if quoted else inner)
    return "".join(shown)


def _inline(text: str) -> str:
    shown: list[str] = []
    at = 0
    for found in _INLINE.finditer(text):
        shown += [_literal(text[at : found.start()]), _marked(found)]
        at = found.end()
    return "".join(shown) + _literal(text[at:])


def _marked(found: re.Match[str]) -> str:
    kind, inner = next((kind, part) for kind, part in found.groupdict().items() if part is not None)
    if kind == "code":
        return f"<code>{_literal(inner)}</code>"
    if kind == "angle":
        return _angle(inner)
    if kind == "emoji":
        return html.escape(_emoji(inner))
    return f"<{kind}>{_inline(inner)}</{kind}>"


def _angle(inner: str) -> str:
    target, _, label = inner.partition("|")
    target, label = _unescaped(target), _unescaped(label)
    if target.startswith("!date^"):
        # Slack shows it in the reader's time zone; whoever cannot, what stands behind the bar.
        return html.escape(label)
    if target.startswith(("@", "#", "!")):
        sign = "#" if target[0] == "#" else "@"
        name = label.lstrip("@#") or target[1:]
        return f'<span class="mention">{html.escape(sign + name)}</span>'
    return link(target, label or target)


def _emoji(name: str) -> str:
    return _EMOJI.get(name, f":{name}:")


def _literal(text: str) -> str:
    return html.escape(_unescaped(text))


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
