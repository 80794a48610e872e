"""Speak to Slack through Slack's own SDK, and say plainly what went wrong. Knows no Dagster."""

from __future__ import annotations

import os
import re
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final, cast

from dagweave._kernel.clock import SYSTEM_CLOCK
from dagweave._kernel.errors import DagweaveError, InvalidInput, Refused, Unavailable
from dagweave._kernel.extras import require
from dagweave._kernel.http import retry_after_s
from dagweave._kernel.redact import redact
from dagweave._kernel.wait import backoff

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError

DEFAULT_BASE_URL = "https://slack.com/api/"
BASE_URL_VARIABLE = "DAGWEAVE_SLACK_BASE_URL"

# A step waits for its hook. Slack asks for a few seconds; whatever asks for more than a minute is
# better reported than waited for.
LONGEST_RETRY_AFTER_S = 60

_SCOPE = "Give the app the chat:write scope, install it anew, and use the token that Slack shows."
_BOT = "Use the bot token of an app that is installed in the workspace; it starts with xoxb-."

# https://docs.slack.dev/reference/methods/chat.postMessage#errors
_REMEDIES: Final[Mapping[str, str]] = {
    "account_inactive": _BOT,
    "channel_not_found": "Check the spelling. If the channel is private, invite the bot to it.",
    "invalid_auth": _BOT,
    "invalid_blocks": "Slack's limits: https://docs.slack.dev/reference/block-kit/blocks",
    "is_archived": "Unarchive the channel, or name another one.",
    "missing_scope": _SCOPE,
    "msg_blocks_too_long": "Send less: Slack takes about 13,000 characters in all blocks together.",
    "msg_too_long": "Send less, or send the rest in a thread.",
    "not_authed": "Set the token: the resource sent none.",
    "not_in_channel": "Invite the bot: write `/invite @the-bot` in the channel.",
    "restricted_action": "The workspace does not let the app post there; ask an administrator.",
    "token_expired": _BOT,
    "token_revoked": _BOT,
}
_TRANSIENT: Final = frozenset(
    {"fatal_error", "internal_error", "ratelimited", "request_timeout", "service_unavailable"}
)
_BLOCKS_REFUSED: Final = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"}
)
_CHECK_BASE_URL: Final = (
    f"Check base_url, or the environment variable {BASE_URL_VARIABLE}; without either, it is "
    f"{DEFAULT_BASE_URL}."
)
_WEB_ADDRESS: Final = re.compile(r"https?://[^/?#\s]", re.IGNORECASE)
# In place of a code, the SDK tells of an answer that is not JSON in a sentence.
_NO_JSON: Final = re.compile("Received a response in a non-JSON format")


def connect(
    token: str, *, base_url: str | None = None, timeout_s: float = 30.0, max_retries: int = 3
) -> WebClient:
    """Return Slack's own client, patient where that helps. Makes no request.

    It asks again, up to `max_retries` times, after a lost connection, a 500 or 503, and a 429, for
    which it waits as long as Slack says if that is not over a minute. An answer that does not come
    within `timeout_s` is not asked for again: the message may have arrived.

    Args:
        base_url: Where the methods of the Slack API are. Without one, that of the environment
            variable `DAGWEAVE_SLACK_BASE_URL`, or Slack's own.
        timeout_s: Longest wait for a connection, and for each part of an answer, in seconds.

    Raises:
        MissingExtra: `slack_sdk` is not installed.
        InvalidInput: `base_url` is not the address of anything on the web.
    """
    require("slack_sdk", extra="slack", what="SlackResource.get_client()")
    from slack_sdk import WebClient
    from slack_sdk.http_retry import ConnectionErrorRetryHandler, RateLimitErrorRetryHandler
    from slack_sdk.http_retry.builtin_handlers import ServerErrorRetryHandler

    class PatientWithinReason(RateLimitErrorRetryHandler):
        def _can_retry(self, *, response: Any = None, **kwargs: Any) -> bool:
            limited = super()._can_retry(response=response, **kwargs)
            return limited and _pause_s(response.headers) <= LONGEST_RETRY_AFTER_S

        # The SDK's own reads no date.
        def prepare_for_next_attempt(self, *, state: Any, response: Any = None, **_: Any) -> None:
            state.next_attempt_requested = True
            # A bit more, so that all who wait do not come back at once.
            SYSTEM_CLOCK.sleep(_pause_s(response.headers) + next(backoff(1, cap_s=1, jitter=1)))
            state.increment_current_attempt()

    address = _address(base_url)
    return WebClient(
        token,
        # Older SDKs append the method as it is.
        base_url=address.rstrip("/") + "/",
        # The SDK declares whole seconds and hands them to urllib, which takes fractions.
        timeout=cast("int", timeout_s),
        retry_handlers=[
            ConnectionErrorRetryHandler(max_retries),
            ServerErrorRetryHandler(max_retries),
            PatientWithinReason(max_retries),
        ],
    )


def post(
    client: WebClient, channel: str, text: str, blocks: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Post one message; if Slack does not take its blocks, post the text alone.

    Raises:
        InvalidInput: There is no text, or what answers is not Slack.
        Refused: Slack said no; carries its error code and what to do about it.
        Unavailable: Slack was not reached, did not answer in time, or could not answer now.
    """
    if not text.strip():
        raise InvalidInput(f"A message to {channel} has no text.", remedy="Give it some.")
    from slack_sdk.errors import SlackApiError, SlackClientError

    shown = [dict(block) for block in blocks]
    try:
        client.chat_postMessage(channel=channel, text=text, blocks=shown or None)
    except SlackApiError as error:
        if shown and _code(error) in _BLOCKS_REFUSED:
            post(client, channel, text)
            return
        raise _explained(error, channel, client) from error
    except (SlackClientError, HTTPException, OSError, ValueError) as error:
        raise Unavailable(
            f"A message to {channel} may not have reached Slack.",
            seen=redact(_reason(error), _named(client.token)),
            remedy=f"Check that {client.base_url} can be reached from here, and that it answers "
            f"within {client.timeout:g} s.",
        ) from error


def _address(base_url: str | None) -> str:
    address = base_url or os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
    if not _WEB_ADDRESS.match(address):
        raise InvalidInput(f"{address!r} is not the address of Slack.", remedy=_CHECK_BASE_URL)
    return address


def _explained(error: SlackApiError, channel: str, client: WebClient) -> DagweaveError:
    token = client.token
    status = cast("int", error.response.status_code)
    code = redact(_code(error), _named(token))
    if status == 429 or status >= 500 or code in _TRANSIENT:
        return Unavailable(
            f"Slack took no message to {channel} just now.",
            seen=f"Slack says: {code} (HTTP {status})",
            remedy="This passes by itself; with more max_retries the resource asks more often.",
        )
    if _NO_JSON.match(code):
        return InvalidInput(
            f"What answers at {client.base_url} is not Slack: a message to {channel} was not sent.",
            seen=f"HTTP {status}: {code}",
            remedy=_CHECK_BASE_URL,
        )
    notes = cast("dict[str, Any]", error.response.get("response_metadata") or {}).get("messages")
    look_up = f"Look up {code} on https://docs.slack.dev/reference/methods/chat.postMessage."
    return Refused(
        f"Slack refused a message to {channel}.",
        seen=redact("\n".join([f"Slack says: {code}", *map(str, notes or ())]), _named(token)),
        remedy=f"{_REMEDIES.get(code, look_up)} Not retried: the answer would be the same.",
    )


def _reason(error: Exception) -> str:
    # urllib wraps what happened; the wrapper's name says nothing.
    reason = getattr(error, "reason", None) or error
    return f"{type(reason).__name__}: {reason}" if isinstance(reason, Exception) else str(reason)


def _code(error: SlackApiError) -> str:
    return cast("str | None", error.response.get("error")) or "no error code"


def _pause_s(headers: Mapping[str, Any]) -> float:
    """How long the `Retry-After` among `headers` asks to wait; a second if there is none."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            first = cast("list[Any]", value)[0] if isinstance(value, list) else value
            asked = retry_after_s(str(first))
            return 1.0 if asked is None else asked
    return 1.0


def _named(token: str | None) -> tuple[str, ...]:
    return (token,) if token else ()
