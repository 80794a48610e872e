"""What PagerDuty publishes of its events, without its descriptions.

https://github.com/PagerDuty/api-schema/blob/5cd58ff2b5eebc209eaf19e0ff6ca8f40bdd5a94/reference/events-v2/openapiv3.json
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}


def _texts(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, _TEXT)


def _list_of(required: str, *optional: str) -> dict[str, Any]:
    item = {"type": "object", "required": [required], "properties": _texts(required, *optional)}
    return {"type": "array", "items": item}


EVENTS_V2: dict[str, Any] = {
    "type": "object",
    "required": ["routing_key", "event_action"],
    "properties": {
        **_texts("routing_key", "dedup_key", "client", "client_url"),
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "links": _list_of("href", "text"),
        "images": _list_of("src", "href", "alt"),
        "payload": {
            "type": "object",
            "required": ["summary", "severity", "source"],
            "properties": {
                **_texts("summary", "timestamp", "source", "component", "group", "class"),
                "severity": {"enum": ["critical", "warning", "error", "info"]},
                "custom_details": {"type": "object"},
            },
        },
    },
}
