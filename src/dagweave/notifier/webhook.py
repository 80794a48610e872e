"""A notifier for whatever takes JSON over HTTP, signed so that the receiver can trust it."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave._kernel.http import HttpClient
from dagweave._kernel.redact import redact
from dagweave.notifier.text import each_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagweave.notifier.notice import Ability, Notice

SIGNATURE_HEADER = "X-Dagweave-Signature"
TIMESTAMP_HEADER = "X-Dagweave-Timestamp"


@dataclass(frozen=True, slots=True)
class WebhookNotifier:
    """Posts each notice as JSON to an address.

    The body is the notice with an `event`: `problem`, `again` or `resolved`. Without a secret it is
    sent unsigned. With one, the header `X-Dagweave-Signature` is `sha256=` and the HMAC-SHA256, in
    hexadecimal, of what `X-Dagweave-Timestamp` says, a dot, and the body: see `verify_signature`.

    ```python
    from dagweave.notifier import WebhookNotifier

    hook = WebhookNotifier("https://example.org/alerts", secret="...", timeout_s=5)
    ```

    Args:
        url: Where to.
        secret: What the receiver knows, too.
        timeout_s: Longest wait for a connection, and for each part of an answer, in seconds.
        max_retries: How often a request is made again at most; only where the receiver cannot have
            acted on it.

    Raises:
        InvalidInput: The secret is empty, as of a variable that was set to nothing.
    """

    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    timeout_s: float = 10.0
    max_retries: int = 2

    def __post_init__(self) -> None:
        """Refuse to send unsigned where a secret was meant."""
        if self.secret is not None:
            _require(self.secret)

    @property
    def abilities(self) -> frozenset[Ability]:
        """Both: the receiver is told what it is, and does with it what it can."""
        return frozenset({"update", "resolve"})

    def send(self, notice: Notice) -> str | None:
        """Post a problem.

        Raises:
            Refused: The receiver said no.
            Unavailable: It was not reached, or could not answer now.
        """
        self._post("problem", notice)
        return None

    def update(self, notice: Notice, handle: str | None) -> str | None:
        """Post that a problem came up again."""
        self._post("again", notice)
        return handle

    def resolve(self, notice: Notice, handle: str | None) -> None:
        """Post that a problem is over."""
        del handle
        self._post("resolved", notice)

    def _post(self, event: str, notice: Notice) -> None:
        content: dict[str, Any] = {"event": event, **asdict(notice)}
        # What cannot be encoded is shown as a question mark; the rest of an error still arrives.
        body = msgspec.json.encode(each_text(content, _encodable))
        where = urlsplit(self.url).hostname or "nowhere"
        client = HttpClient(
            self.url,
            "The webhook",
            timeout_s=self.timeout_s,
            attempts=self.max_retries + 1,
            headers=lambda: self._headers(body),
        )
        try:
            client.request("POST", "", body=body)
        except DagweaveError as error:
            # The address of a webhook is often all that it takes to use it: only its host is told.
            raise type(error)(
                f"A notice was not taken by the webhook at {where}.",
                seen=redact(error.seen or "", (self.url, _path(self.url), self.secret or "")),
                remedy="Check the address, the secret, and that it can be reached from here.",
            ) from None
        finally:
            client.close()

    def _headers(self, body: bytes) -> Mapping[str, str]:
        headers = {"Content-Type": "application/json"}
        if self.secret:
            moment = str(int(time.time()))
            headers[TIMESTAMP_HEADER] = moment
            headers[SIGNATURE_HEADER] = _signature(body, moment, self.secret)
        return headers


def verify_signature(
    body: bytes, headers: Mapping[str, str], secret: str, *, max_age_s: float = 300.0
) -> None:
    """Do nothing if `body` was signed with `secret` not long ago; for receivers in Python.

    Args:
        body: As it arrived, byte by byte.
        headers: Those of the request, however their names are cased.
        max_age_s: How old a signature may be, in seconds: who records a request cannot use it later.

    Raises:
        InvalidInput: It is unsigned, signed otherwise, or too old; or the secret is empty.
    """
    _require(secret)
    given = {name.lower(): value for name, value in headers.items()}
    moment = given.get(TIMESTAMP_HEADER.lower(), "")
    signature = given.get(SIGNATURE_HEADER.lower(), "")
    expected = _signature(body, moment, secret)
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise InvalidInput(
            "A notice is not signed with this secret.",
            remedy="Give both sides the same secret, and check the body as it arrived.",
        )
    if not moment.isdecimal() or abs(time.time() - int(moment)) > max_age_s:
        raise InvalidInput(
            f"The signature of a notice is more than {max_age_s:g} s old.",
            remedy="Check the clocks of both sides; it may also be a request of earlier.",
        )


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _require(secret: str) -> None:
    if not secret:
        raise InvalidInput(
            "The secret of a webhook is empty.",
            remedy="Set it, in the variable that it comes from; None is no secret, and no signature.",
        )


def _signature(body: bytes, moment: str, secret: str) -> str:
    signed = moment.encode() + b"." + body
    return f"sha256={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
