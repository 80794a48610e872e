"""Show the inbox as a person would see it in Slack: one page, no scripts, nothing fetched."""

from __future__ import annotations

import html
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from dagweave.testing.slack.mrkdwn import link, plain_to_html, to_html

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dagweave.testing.slack.workspace import PostedMessage

_REFRESH_EVERY_S = 10

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; display: flex; min-height: 100vh; background: #fff; color: #1d1c1d;
  font: 15px/1.46 Lato, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
nav { position: sticky; top: 0; align-self: flex-start; flex: 0 0 230px; height: 100vh;
  overflow-y: auto; padding: 18px 0; background: #3f0e40; color: #d6c6d7; }
nav h1 { margin: 0 18px 2px; font-size: 17px; color: #fff; }
nav p { margin: 0 18px 18px; font-size: 12px; line-height: 1.4; }
nav a { display: flex; justify-content: space-between; gap: 8px; padding: 4px 18px;
  color: inherit; text-decoration: none; overflow-wrap: anywhere; }
nav a:hover { background: #522653; color: #fff; }
nav a b { color: #fff; font-weight: 600; }
main { flex: 1; min-width: 0; }
section > h2 { position: sticky; top: 0; margin: 0; padding: 13px 24px; font-size: 17px;
  background: #fff; border-bottom: 1px solid #e8e8e8; overflow-wrap: anywhere; }
article { display: flex; gap: 10px; max-width: 900px; padding: 10px 24px; }
article:hover { background: #f8f8f8; }
article.reply { margin-left: 46px; border-left: 2px solid #e0e0e0; }
.face { flex: 0 0 36px; height: 36px; border-radius: 6px; background: #4f43dd; color: #fff;
  display: grid; place-items: center; font-weight: 700; }
.body { flex: 1; min-width: 0; overflow-wrap: anywhere; }
.who b { font-weight: 800; }
.who span { color: #616061; font-size: 12px; margin-left: 6px; }
.who .app { padding: 1px 3px; border-radius: 2px; background: #e8e8e8; font-size: 10px;
  font-weight: 700; }
.body > div { margin: 4px 0; }
.block + .block { margin-top: 8px; }
h3 { margin: 4px 0; font-size: 18px; }
pre, code { font: 12px/1.5 Monaco, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { margin: 4px 0; padding: 8px; border: 1px solid #ddd; border-radius: 4px;
  background: #f8f8f8; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 480px;
  overflow-y: auto; }
code { padding: 2px 3px 1px; border: 1px solid #ddd; border-radius: 3px; background: #f8f8f8;
  color: #c01343; }
blockquote { margin: 4px 0; padding-left: 12px; border-left: 4px solid #ddd; }
a { color: #1264a3; text-decoration: none; }
a:hover { text-decoration: underline; }
hr { border: 0; border-top: 1px solid #ddd; margin: 10px 0; }
.fields { display: grid; margin-top: 8px; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px 16px; }
.context { color: #616061; font-size: 13px; }
.button { display: inline-block; margin: 0 8px 4px 0; padding: 4px 12px; border: 1px solid #bbb;
  border-radius: 4px; background: #fff; font-weight: 700; color: #1d1c1d; }
.button.primary { background: #007a5a; border-color: #007a5a; color: #fff; }
.button.danger { background: #e01e5a; border-color: #e01e5a; color: #fff; }
.button a { color: inherit; }
.file summary { font-weight: 700; cursor: pointer; }
.mention { padding: 0 2px; border-radius: 3px; background: #fdf2d5; color: #1264a3; }
.empty { padding: 80px 24px; text-align: center; color: #616061; }
@media (max-width: 640px) { body { display: block; } nav { position: static; height: auto; } }
"""


def page(messages: Sequence[PostedMessage]) -> str:
    """Return the whole inbox as one HTML page, channel by channel."""
    channels: dict[str, list[PostedMessage]] = {}
    for message in sorted(messages, key=attrgetter("channel")):
        channels.setdefault(message.channel, []).append(message)
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="refresh" content="{_REFRESH_EVERY_S}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Inbox ({len(messages)})</title><style>{_STYLE}</style></head><body><nav>",
            "<h1>Dagweave</h1><p>A local stand-in for Slack. Nothing here left this machine.</p>",
            *(_channel_link(name, len(posted)) for name, posted in channels.items()),
            "</nav><main>",
            *(_channel(name, posted) for name, posted in channels.items()),
            '<p class="empty">Nothing has been posted yet.</p>' if not messages else "",
            "</main></body></html>",
        )
    )


def _channel_link(name: str, count: int) -> str:
    shown = html.escape(name.removeprefix("#"))
    return f'<a href="#{_anchor(name)}"><span># {shown}</span><b>{count}</b></a>'


def _channel(name: str, posted: Sequence[PostedMessage]) -> str:
    title = f"<h2># {html.escape(name.removeprefix('#'))}</h2>"
    shown = "".join(map(_message, _threaded(posted)))
    return f'<section id="{_anchor(name)}">{title}{shown}</section>'


def _threaded(posted: Sequence[PostedMessage]) -> list[PostedMessage]:
    """The messages in the order in which they came, each followed by its replies."""
    return sorted(posted, key=lambda message: (message.thread_ts or message.ts, message.ts))


def _anchor(name: str) -> str:
    return html.escape(name.removeprefix("#"), quote=True).replace(" ", "-")


def _message(message: PostedMessage) -> str:
    when = datetime.fromtimestamp(float(message.ts)).astimezone().strftime("%d %b %H:%M:%S")
    edited = "<span>(edited)</span>" if message.edited else ""
    shown = "".join(_blocks(message.blocks)) if message.blocks else to_html(message.text)
    for file in message.files:
        content = html.escape(file.content)
        shown += f'<details class="file"><summary>{html.escape(file.name)}</summary><pre>{content}</pre></details>'
    return (
        f'<article{" class=reply" if message.thread_ts else ""}><div class="face">D</div>'
        f'<div class="body"><div class="who"><b>dagweave</b><span class="app">APP</span>'
        f"<span>{when}</span>{edited}</div><div>{shown}</div></div></article>"
    )


def _blocks(blocks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for block in blocks:
        show = _SHOWN.get(str(block.get("type")))
        shown = show(block) if show else f"<pre>{html.escape(str(dict(block)))}</pre>"
        yield f'<div class="block">{shown}</div>'


def _text(text: Mapping[str, Any]) -> str:
    shown = str(text.get("text", ""))
    return plain_to_html(shown) if text.get("type") == "plain_text" else to_html(shown)


def _header(block: Mapping[str, Any]) -> str:
    return f"<h3>{_text(block['text'])}</h3>"


def _section(block: Mapping[str, Any]) -> str:
    text = f"<div>{_text(block['text'])}</div>" if block.get("text") else ""
    cells = "".join(f"<div>{_text(field)}</div>" for field in block.get("fields") or ())
    fields = f'<div class="fields">{cells}</div>' if cells else ""
    accessory = block.get("accessory")
    return text + fields + (_element(accessory) if accessory else "")


def _context(block: Mapping[str, Any]) -> str:
    return f'<div class="context">{" ".join(map(_element, block["elements"]))}</div>'


def _actions(block: Mapping[str, Any]) -> str:
    return f"<div>{''.join(map(_element, block['elements']))}</div>"


def _image(block: Mapping[str, Any]) -> str:
    # Linked, not shown: a page about local messages calls no other server.
    label = f"image: {block.get('alt_text', '')}"
    return link(str(block.get("image_url", "")), label)


def _element(element: Mapping[str, Any]) -> str:
    kind = element.get("type")
    if kind == "image":
        return _image(element)
    if kind != "button":
        return _text(element)
    label = str(element["text"]["text"])
    shown = link(str(element["url"]), label) if element.get("url") else html.escape(label)
    style = {"primary": " primary", "danger": " danger"}.get(str(element.get("style")), "")
    return f'<span class="button{style}">{shown}</span>'


_SHOWN: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "actions": _actions,
    "context": _context,
    "divider": lambda _: "<hr>",
    "header": _header,
    "image": _image,
    "markdown": lambda block: f"<pre>{html.escape(str(block.get('text', '')))}</pre>",
    "section": _section,
}
