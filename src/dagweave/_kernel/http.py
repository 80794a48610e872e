"""Speak HTTP where no vendor's client does: one session, one retry policy, errors that say why.

`requests` is imported when the first request is made, never before.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.errors import InvalidInput, Refused, Unavailable
from dagweave._kernel.wait import backoff

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

# With 5xx, the statuses after which the same request may succeed; any other is an answer.
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
# The server says with these that it did nothing, so that even a POST can be made again.
_NOTHING_DONE_STATUSES = frozenset({429, 503})
_REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_LONGEST_RETRY_AFTER_S = 60.0
_LONGEST_BODY_SHOWN = 500


@dataclass(frozen=True, slots=True)
class _Miss:
    """An attempt that came to nothing, and whether another may do better."""

    seen: str
    again: bool
    pause_s: float | None = None
    cause: Exception | None = None


@dataclass
class HttpClient:
    """Requests to one server. Safe to share between threads; connections are pooled.

    Args:
        base_url: Where paths start, without a trailing slash.
        server: What the server is called in errors: `Slack`.
        timeout_s: Longest wait for a connection, and for each part of an answer, in seconds.
        attempts: How often a request is made at most, the first one included.
    """

    base_url: str
    server: str
    timeout_s: float = 30.0
    attempts: int = 4
    clock: Clock = SYSTEM_CLOCK
    _session: requests.Session | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def get_json(self, path: str, *, params: Mapping[str, str] | None = None) -> Any:
        """GET `path` and return the decoded JSON body.

        Raises:
            Refused: The server answered with a status that asking again cannot change.
            Unavailable: It gave no usable answer in `attempts` attempts; carries the last cause.
            InvalidInput: `base_url` and `path` make no address.
        """
        answer = self.request("GET", path, params=params)
        try:
            return answer.json()
        except ValueError as error:
            raise Unavailable(
                f"{self.server} answered GET {path} with something that is not JSON.",
                seen=_shown(answer),
                remedy=f"Check that {self.base_url} is the address of {self.server} itself, and "
                "not of a proxy or a login page before it.",
            ) from error

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
    ) -> requests.Response:
        """Make one request, again where that can help, and return its answer.

        Only connection errors and the statuses 408, 425, 429 and 5xx are tried again, after the
        server's `Retry-After` (capped at 60 s) or a growing, jittered pause. A `POST` is tried
        again only when the server cannot have acted on it: after 429 or 503, or when no connection
        was made.

        Raises:
            Refused: as in `get_json`.
            Unavailable: as in `get_json`.
            InvalidInput: as in `get_json`.
        """
        pauses = backoff(0.2, cap_s=10.0)
        attempt = 1
        while True:
            outcome = self._attempt(method.upper(), path, params, json)
            if not isinstance(outcome, _Miss):
                return outcome
            if not outcome.again or attempt >= self.attempts:
                raise Unavailable(
                    f"{self.server} did not answer {method} {path} ({attempt} attempt(s) made).",
                    seen=outcome.seen,
                    remedy=f"Check that {self.base_url} can be reached, then try again.",
                ) from outcome.cause
            pause_s = next(pauses)
            self.clock.sleep(pause_s if outcome.pause_s is None else outcome.pause_s)
            attempt += 1

    def close(self) -> None:
        """Close the pooled connections. The client may be used again afterwards."""
        with self._lock:
            if self._session is not None:
                self._session.close()
                self._session = None

    def _attempt(
        self, method: str, path: str, params: Mapping[str, str] | None, json: object
    ) -> requests.Response | _Miss:
        import requests

        url = self.base_url + path
        try:
            answer = self._open().request(
                method, url, params=params, json=json, timeout=self.timeout_s
            )
        except ValueError as error:
            # How requests says that a URL is none; its other errors are no ValueErrors.
            raise InvalidInput(
                f"{url} is no address to ask {self.server} at.", seen=str(error)
            ) from error
        except requests.RequestException as error:
            again = method in _REPEATABLE_METHODS or _never_sent(error)
            return _Miss(_plainly(error), again and _may_pass(error), cause=error)
        status = answer.status_code
        if answer.ok:
            return answer
        if status < 500 and status not in _TRANSIENT_STATUSES:
            raise Refused(
                f"{self.server} refused {method} {path}.",
                seen=_shown(answer),
                remedy="Not retried: the answer would be the same.",
            )
        again = method in _REPEATABLE_METHODS or status in _NOTHING_DONE_STATUSES
        pause_s = retry_after_s(answer.headers.get("Retry-After", ""))
        if pause_s is not None:
            pause_s = min(pause_s, _LONGEST_RETRY_AFTER_S)
        return _Miss(_shown(answer), again, pause_s)

    def _open(self) -> requests.Session:
        import requests

        with self._lock:
            if self._session is None:
                self._session = requests.Session()
            return self._session


def retry_after_s(value: str) -> float | None:
    """How long a `Retry-After` asks to wait, in seconds; `None` if it cannot be read.

    It is a number of seconds, or a date: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    value = value.strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def _shown(answer: requests.Response) -> str:
    return f"HTTP {answer.status_code}: {answer.text[:_LONGEST_BODY_SHOWN]}"


def _may_pass(error: requests.RequestException) -> bool:
    """Whether a connection error can be gone in a moment; a bad certificate is not."""
    import requests

    passing = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, passing) and not isinstance(error, requests.exceptions.SSLError)


def _never_sent(error: requests.RequestException) -> bool:
    """Whether there was no connection to send the request over."""
    import requests
    from urllib3.exceptions import NewConnectionError

    return isinstance(error, requests.ConnectTimeout) or isinstance(
        _reason(error), NewConnectionError
    )


def _plainly(error: requests.RequestException) -> str:
    """What happened, without urllib3's wrapping: that it retried (it did not), and its pool."""
    reason = _reason(error)
    return re.sub(r"^\w+\(host=.*?\): ", "", f"{reason}") or type(reason).__name__


def _reason(error: requests.RequestException) -> BaseException:
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    reason = getattr(inner, "reason", None)
    return reason if isinstance(reason, BaseException) else inner
