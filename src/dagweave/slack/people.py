"""Whom to mention: Slack's ids of the owners of what broke."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from dagweave._kernel.errors import DagweaveError
from dagweave.slack.client import find_user

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slack_sdk import WebClient

_MOST_MENTIONED = 10
_log = logging.getLogger("dagweave.slack")
_known: dict[tuple[str, str | None, str], str | None] = {}
_lock = threading.Lock()


def mentions(client: WebClient, owners: Sequence[str]) -> list[str]:
    """The owners as Slack calls them, or as they are written where it knows nobody of the name.

    Each address is looked up once in the life of a process. An address that cannot be looked up
    is no reason not to tell.
    """
    return [_mention(client, owner) for owner in owners[:_MOST_MENTIONED]]


def _mention(client: WebClient, owner: str) -> str:
    if "@" not in owner:
        return owner
    key = client.base_url, client.token, owner
    with _lock:
        if key in _known:
            return _called(owner, _known[key])
    try:
        found = find_user(client, owner)
    except DagweaveError as error:
        _log.warning("Slack could not say who %s is; nobody is mentioned.\n%s", owner, error)
        if error.retryable:
            return owner
        found = None
    with _lock:
        _known[key] = found
    return _called(owner, found)


def _called(owner: str, user_id: str | None) -> str:
    return f"<@{user_id}>" if user_id else owner
