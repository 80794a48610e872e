"""Speak to Slack through Slack's own SDK, and say plainly what went wrong. Knows no Dagster."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final, cast

from dagweave._kernel.clock import SYSTEM_CLOCK
from dagweave._kernel.errors import DagweaveError, InvalidInput, Refused, Unavailable
from dagweave._kernel.extras import require
from dagweave._kernel.http import retry_after_s
from dagweave._kernel.redact import redact
from dagweave._kernel.wait import backoff
from dagweave.notifier.text import cut
from dagweave.slack.pace import take_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError
    from slack_sdk.web import SlackResponse

DEFAULT_BASE_URL = "https://slack.com/api/"
BASE_URL_VARIABLE = "DAGWEAVE_SLACK_BASE_URL"

# A step waits for its hook. Slack asks for a few seconds; whatever asks for more than a minute is
# better reported than waited for.
LONGEST_RETRY_AFTER_S = 60

# https://docs.slack.dev/reference/methods/chat.update#errors
LONGEST_EDITED_TEXT = 4_000

_SCOPE = (
    "Give the app the scope that it lacks (chat:write to post), install it anew, and use the "
    "token that Slack shows."
)
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


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message is: what `chat.update` and a reply take."""

    channel_id: str
    ts: str


def post(
    client: WebClient,
    channel: str,
    text: str,
    blocks: Sequence[Mapping[str, Any]] = (),
    *,
    thread_ts: str | None = None,
) -> Posted:
    """Post one message; if Slack does not take its blocks, post the text alone.

    Args:
        thread_ts: The message that this one replies to.

    Raises:
        InvalidInput: There is no text, or what answers is not Slack.
        Refused: Slack said no; carries its error code and what to do about it.
        Unavailable: Slack was not reached, did not answer in time, or could not answer now.
    """
    if not text.strip():
        raise InvalidInput(f"A message to {channel} has no text.", remedy="Give it some.")

    def sent(shown: list[dict[str, Any]] | None) -> SlackResponse:
        take_turn(client.base_url, channel)
        return client.chat_postMessage(
            channel=channel, text=text, blocks=shown, thread_ts=thread_ts
        )

    answer = _laid_out(client, f"a message to {channel}", blocks, sent)
    return Posted(str(answer.get("channel") or channel), str(answer.get("ts") or ""))


def edit(
    client: WebClient, posted: Posted, text: str, blocks: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Put another text in the place of a message's; raises as `post` does."""
    fitting = cut(text, LONGEST_EDITED_TEXT)

    def sent(shown: list[dict[str, Any]] | None) -> SlackResponse:
        # Without any, the message would keep the blocks that it has.
        return client.chat_update(
            channel=posted.channel_id, ts=posted.ts, text=fitting, blocks=shown or []
        )

    _laid_out(client, f"an edited message in {posted.channel_id}", blocks, sent)


def attach(client: WebClient, posted: Posted, file_name: str, content: str) -> None:
    """Put a text as a file into the thread of a message; raises as `post` does.

    It takes the scope files:write.
    """
    with _translated(client, f"the file {file_name}"):
        client.files_upload_v2(
            content=content.encode("utf-8", "replace"),
            filename=file_name,
            title=file_name,
            channel=posted.channel_id,
            thread_ts=posted.ts,
        )


def find_user(client: WebClient, email: str) -> str | None:
    """The id of the person with this e-mail address, if there is one; raises as `post` does.

    It takes the scope users:read.email.
    """
    from slack_sdk.errors import SlackApiError

    with _translated(client, "a look-up of an e-mail address"):
        try:
            answer = client.users_lookupByEmail(email=email)
        except SlackApiError as error:
            if _code(error) == "users_not_found":
                return None
            raise
    return str(cast("dict[str, Any]", answer["user"])["id"])


def _laid_out(
    client: WebClient,
    what: str,
    blocks: Sequence[Mapping[str, Any]],
    send: Callable[[list[dict[str, Any]] | None], SlackResponse],
) -> SlackResponse:
    """Send with blocks; without them, if Slack does not take them."""
    from slack_sdk.errors import SlackApiError

    with _translated(client, what):
        shown = [dict(block) for block in blocks] or None
        try:
            return send(shown)
        except SlackApiError as error:
            if not shown or _code(error) not in _BLOCKS_REFUSED:
                raise
        return send(None)


@contextmanager
def _translated(client: WebClient, what: str) -> Generator[None]:
    """Within the block, what Slack and its SDK complain of is said in our errors."""
    from slack_sdk.errors import SlackApiError, SlackClientError

    try:
        yield
    except SlackApiError as error:
        raise _explained(error, what, client) from error
    except (SlackClientError, HTTPException, OSError, ValueError) as error:
        raise Unavailable(
            f"{what[0].upper()}{what[1:]} may not have reached Slack.",
            seen=redact(_reason(error), _named(client.token)),
            remedy=f"Check that {client.base_url} can be reached from here, and that it answers "
            f"within {client.timeout:g} s.",
        ) from error


def _address(base_url: str | None) -> str:
    address = base_url or os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
    if not _WEB_ADDRESS.match(address):
        raise InvalidInput(f"{address!r} is not the address of Slack.", remedy=_CHECK_BASE_URL)
    return address


def _explained(error: SlackApiError, what: str, client: WebClient) -> DagweaveError:
    token = client.token
    status = cast("int", error.response.status_code)
    code = redact(_code(error), _named(token))
    if status == 429 or status >= 500 or code in _TRANSIENT:
        return Unavailable(
            f"Slack did not take {what} just now.",
            seen=f"Slack says: {code} (HTTP {status})",
            remedy="This passes by itself; with more max_retries the resource asks more often.",
        )
    if _NO_JSON.match(code):
        return InvalidInput(
            f"What answers at {client.base_url} is not Slack: it was not sent {what}.",
            seen=f"HTTP {status}: {code}",
            remedy=_CHECK_BASE_URL,
        )
    notes = cast("dict[str, Any]", error.response.get("response_metadata") or {}).get("messages")
    look_up = f"Look up {code} on https://docs.slack.dev/reference/methods/chat.postMessage."
    return Refused(
        f"Slack refused {what}.",
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
