"""Find what PagerDuty would not take about an event.

What is needed and what kind it is, is that of PagerDuty's published schema of events; the lengths
are those of https://developer.pagerduty.com/docs/send-alert-event.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LONGEST_SUMMARY = 1_024
LONGEST_DEDUP_KEY = 255
ROUTING_KEY_LENGTH = 32
MOST_BYTES = 512 * 1024

ACTIONS: Final = ("trigger", "acknowledge", "resolve")
SEVERITIES: Final = ("critical", "error", "warning", "info")

Json = dict[str, Any]


def alert_faults(event: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with an event for `/v2/enqueue`, in PagerDuty's way; nothing if all is well."""
    return [*_key(event), *_alert(event), *_shown(event)]


def change_faults(event: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with an event for `/v2/change/enqueue`."""
    payload = _payload(event)
    found = [*_key(event), *_text(payload, "payload", "summary"), *_shown(event)]
    return [*found, *_times(payload), *_kinds(payload, "payload", ("source",))]


def _key(event: Mapping[str, Any]) -> Iterator[str]:
    key = event.get("routing_key")
    if not isinstance(key, str) or len(key) != ROUTING_KEY_LENGTH:
        yield f"Length of 'routing_key' is incorrect (should be {ROUTING_KEY_LENGTH} characters)"


def _alert(event: Mapping[str, Any]) -> Iterator[str]:
    action = event.get("event_action")
    if action not in ACTIONS:
        yield f"'event_action' must be one of {', '.join(ACTIONS)}"
        return
    yield from _dedup_key(event, needed=action != "trigger")
    yield from _kinds(event, "", ("client", "client_url"))
    payload = event.get("payload")
    if action != "trigger" and "payload" not in event:
        return
    if not isinstance(payload, dict):
        yield "'payload' is missing or not an object"
        return
    found = cast("Json", payload)
    for name in ("summary", "source"):
        yield from _text(found, "payload", name)
    if found.get("severity") not in SEVERITIES:
        yield f"'payload.severity' must be one of {', '.join(SEVERITIES)}"
    yield from _times(found)
    yield from _kinds(found, "payload", ("component", "group", "class"))
    if "custom_details" in found and not isinstance(found["custom_details"], dict):
        yield "'payload.custom_details' must be an object"


def _dedup_key(event: Mapping[str, Any], *, needed: bool) -> Iterator[str]:
    key = event.get("dedup_key")
    if "dedup_key" not in event and not needed:
        return
    if not isinstance(key, str) or not key:
        yield "'dedup_key' is missing or blank"
    elif len(key) > LONGEST_DEDUP_KEY:
        yield f"Length of 'dedup_key' is incorrect (should be at most {LONGEST_DEDUP_KEY})"


def _shown(event: Mapping[str, Any]) -> Iterator[str]:
    for name, needed in (("links", "href"), ("images", "src")):
        if name not in event:
            continue
        if not isinstance(event[name], list):
            yield f"'{name}' must be an array"
            continue
        for index, item in enumerate(cast("list[object]", event[name])):
            if not isinstance(item, dict):
                yield f"'{name}[{index}]' must be an object"
                continue
            found = cast("Json", item)
            yield from _text(found, f"{name}[{index}]", needed)
            yield from _kinds(found, f"{name}[{index}]", ("text", "href", "alt"))
            if name == "images" and not str(found.get("src")).startswith("https://"):
                yield f"'images[{index}].src' must be served via HTTPS"


def _payload(event: Mapping[str, Any]) -> Json:
    payload = event.get("payload")
    return cast("Json", payload) if isinstance(payload, dict) else {}


def _text(item: Mapping[str, Any], at: str, name: str) -> Iterator[str]:
    value = item.get(name)
    if not isinstance(value, str) or not value.strip():
        yield f"'{at}.{name}' is missing or blank"
    elif name == "summary" and len(value) > LONGEST_SUMMARY:
        yield f"Length of '{at}.{name}' is incorrect (should be at most {LONGEST_SUMMARY})"


def _times(payload: Mapping[str, Any]) -> Iterator[str]:
    if "timestamp" not in payload:
        return
    try:
        datetime.fromisoformat(payload["timestamp"])
    except (TypeError, ValueError):
        yield "'payload.timestamp' is not in ISO 8601"


def _kinds(item: Mapping[str, Any], at: str, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name in item and not isinstance(item[name], str):
            yield f"'{f'{at}.{name}' if at else name}' must be a string"
