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
from dagweave._kernel.redact import redact
from dagweave._kernel.wait import backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import requests

    from dagweave._kernel.budget import RateBudget

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
        first_pause_s: The first pause between attempts, in seconds.
        pause_factor: How much longer each further pause is.
        headers: Called for each attempt; what it returns is sent along, a token for instance.
        secrets: What no error may show, whatever the server says.
        budget: Asked before each attempt, and told what the server says about its limits. A wait
            of over a minute is not waited for, but reported.
        connections: How many connections are kept open.
    """

    base_url: str
    server: str
    timeout_s: float = 30.0
    attempts: int = 4
    clock: Clock = SYSTEM_CLOCK
    first_pause_s: float = 0.2
    pause_factor: float = 2.0
    headers: Callable[[], Mapping[str, str]] | None = field(default=None, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    budget: RateBudget | None = field(default=None, repr=False)
    connections: int = 10
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
                seen=self._shown(answer),
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
        body: bytes | None = None,
        repeatable: bool = False,
    ) -> requests.Response:
        """Make one request, again where that can help, and return its answer.

        Only connection errors and the statuses 408, 425, 429 and 5xx are tried again, after the
        server's `Retry-After` (capped at 60 s) or a growing, jittered pause. A `POST` is tried
        again only when the server cannot have acted on it: after 429 or 503, or when no connection
        was made.

        Args:
            json: What to send, as JSON.
            body: What to send as it is, in place of `json`.
            repeatable: Whether the server does nothing twice, so that even a `POST` is tried again
                like a `PUT`.

        Raises:
            Refused: as in `get_json`.
            Unavailable: as in `get_json`.
            InvalidInput: as in `get_json`.
        """
        pauses = backoff(self.first_pause_s, cap_s=10.0, factor=self.pause_factor)
        attempt = 1
        while True:
            outcome = self._attempt(method.upper(), path, params, json, body, repeatable=repeatable)
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
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        json: object,
        body: bytes | None,
        *,
        repeatable: bool,
    ) -> requests.Response | _Miss:
        import requests

        url = self.base_url + path
        self._await_budget(method, path)
        headers = self.headers() if self.headers else None
        repeatable = repeatable or method in _REPEATABLE_METHODS
        try:
            answer = self._open().request(
                method,
                url,
                params=params,
                json=json,
                data=body,
                headers=headers,
                timeout=self.timeout_s,
            )
        except ValueError as error:
            # How requests says that a URL is none; its other errors are no ValueErrors.
            raise InvalidInput(
                f"{url} is no address to ask {self.server} at.", seen=str(error)
            ) from error
        except requests.RequestException as error:
            again = repeatable or _never_sent(error)
            seen = redact(_plainly(error), self.secrets)
            return _Miss(seen, again and _may_pass(error), cause=error)
        status = answer.status_code
        if self.budget:
            self.budget.observe(answer.headers)
        if answer.ok:
            return answer
        if status < 500 and status not in _TRANSIENT_STATUSES:
            raise Refused(
                f"{self.server} refused {method} {path}.",
                seen=self._shown(answer),
                remedy="Not retried: the answer would be the same.",
                status=status,
            )
        again = repeatable or status in _NOTHING_DONE_STATUSES
        pause_s = retry_after_s(answer.headers.get("Retry-After", ""))
        if pause_s is not None and self.budget:
            # The budget makes everybody wait, this request included.
            self.budget.close_for(pause_s)
            pause_s = 0.0
        if pause_s is not None:
            pause_s = min(pause_s, _LONGEST_RETRY_AFTER_S)
        return _Miss(self._shown(answer), again, pause_s)

    def _await_budget(self, method: str, path: str) -> None:
        pause_s = self.budget.wait_s() if self.budget else 0.0
        if pause_s > _LONGEST_RETRY_AFTER_S:
            raise Unavailable(
                f"{self.server} was not asked {method} {path}.",
                seen=f"It said that it takes no request for another {pause_s:.0f} s.",
                remedy="The account's rate limit is used up. Wait, or ask less often.",
            )
        if pause_s:
            self.clock.sleep(pause_s)

    def _shown(self, answer: requests.Response) -> str:
        text = redact(answer.text, self.secrets)
        return f"HTTP {answer.status_code}: {text[:_LONGEST_BODY_SHOWN]}"

    def _open(self) -> requests.Session:
        import requests
        from requests.adapters import HTTPAdapter

        with self._lock:
            if self._session is None:
                self._session = requests.Session()
                adapter = HTTPAdapter(pool_maxsize=self.connections)
                self._session.mount("https://", adapter)
                self._session.mount("http://", adapter)
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
