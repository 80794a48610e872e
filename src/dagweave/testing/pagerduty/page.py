"""Show the incidents as a person would see them in PagerDuty: one page, no scripts, nothing fetched."""

from __future__ import annotations

import html
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from dagweave.testing.slack.mrkdwn import link

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagweave.testing.pagerduty.service import Incident

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7f9; color: #202c38;
  font: 14px/1.5 "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
header { padding: 14px 28px; background: #1e3a2f; color: #d8ebe0; }
header h1 { margin: 0; font-size: 18px; color: #fff; }
main { max-width: 980px; margin: 20px auto; padding: 0 20px; }
h2 { margin: 26px 0 10px; font-size: 16px; }
article { margin: 0 0 12px; padding: 14px 18px; background: #fff; border: 1px solid #dde3e8;
  border-left: 5px solid #8a97a3; border-radius: 4px; overflow-wrap: anywhere; }
article.triggered { border-left-color: #d6263b; }
article.acknowledged { border-left-color: #e6a117; }
article.resolved { border-left-color: #2d8a4e; }
h3 { margin: 0 0 4px; font-size: 15px; }
.badge { display: inline-block; margin-right: 6px; padding: 0 7px; border-radius: 9px;
  background: #e8edf1; font-size: 12px; font-weight: 600; }
.meta { color: #5c6a77; font-size: 13px; }
table { width: 100%; margin-top: 10px; border-collapse: collapse; table-layout: fixed; }
th { width: 150px; padding: 3px 8px 3px 0; text-align: left; vertical-align: top; color: #5c6a77;
  font-weight: 500; }
td { padding: 3px 0; white-space: pre-wrap; overflow-wrap: anywhere; }
pre { margin: 0; max-height: 320px; overflow: auto; white-space: pre-wrap; font-size: 12px; }
a { color: #0b6b3a; }
.empty { padding: 60px; text-align: center; color: #5c6a77; }
"""


def page(incidents: Sequence[Incident], changes: Sequence[Mapping[str, Any]]) -> str:
    """Return all incidents, the newest first, and the changes beside them, as one HTML page."""
    still = sum(incident.status != "resolved" for incident in incidents)
    shown = "".join(map(_incident, reversed(incidents)))
    told = "".join(map(_change, reversed(changes)))
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta http-equiv="refresh" content="10">',
            f"<title>Incidents ({still})</title><style>{_STYLE}</style></head><body>",
            "<header><h1>Incidents</h1>A local stand-in for PagerDuty. Nobody was woken.</header>",
            f"<main><h2>{still} open, {len(incidents)} in all</h2>",
            shown or '<p class="empty">All is quiet.</p>',
            f"<h2>Changes</h2>{told}" if told else "",
            "</main></body></html>",
        )
    )


def _incident(incident: Incident) -> str:
    when = datetime.fromtimestamp(incident.opened_s).astimezone().strftime("%d %b %H:%M:%S")
    # Of all events, the last that says more than that something is done about it.
    said = next(event for event in reversed(incident.events) if "payload" in event)
    payload = said["payload"]
    count = sum(event["event_action"] == "trigger" for event in incident.events)
    rows = {name: payload.get(name) for name in ("component", "group", "class", "timestamp")}
    details: dict[str, Any] = payload.get("custom_details") or {}
    return (
        f'<article class="{incident.status}"><h3>{html.escape(payload["summary"])}</h3>'
        f'<span class="badge">{incident.status}</span>'
        f'<span class="badge">{html.escape(payload["severity"])}</span>'
        f'<span class="meta">{html.escape(payload["source"])} · since {when} · triggered '
        f"{count} time(s) · key {html.escape(incident.dedup_key)}</span>"
        f"<table>{_rows(rows)}{_rows(details)}{_links(said)}</table></article>"
    )


def _change(event: Mapping[str, Any]) -> str:
    payload = event["payload"]
    rest = {name: value for name, value in payload.items() if name != "summary"}
    return (
        f"<article><h3>{html.escape(payload['summary'])}</h3>"
        f"<table>{_rows(rest)}{_links(event)}</table></article>"
    )


def _rows(values: Mapping[str, Any]) -> str:
    return "".join(
        f"<tr><th>{html.escape(str(name))}</th><td>{_value(value)}</td></tr>"
        for name, value in values.items()
        if value
    )


def _value(value: Any) -> str:
    if isinstance(value, str):
        shown = html.escape(value)
        return f"<pre>{shown}</pre>" if "\n" in value else link(value, value)
    if isinstance(value, list):
        return html.escape("\n".join(map(str, cast("list[object]", value))))
    return f"<pre>{html.escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _links(event: Mapping[str, Any]) -> str:
    links = [
        link(str(each["href"]), str(each.get("text") or each["href"]))
        for each in event.get("links") or ()
    ]
    # Linked, not shown: a page about local incidents calls no other server.
    images = [
        link(str(each["src"]), f"image: {each.get('alt') or each['src']}")
        for each in event.get("images") or ()
    ]
    found = links + images
    return f"<tr><th>links</th><td>{' · '.join(found)}</td></tr>" if found else ""
