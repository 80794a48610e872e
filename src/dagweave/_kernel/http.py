"""Speak HTTP where no vendor's client does: one session, one retry policy, errors that say why.

`requests` is imported when the first request is made, never before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.errors import Refused, Unavailable
from dagweave._kernel.wait import backoff

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

# Everything else is an answer: asking again would give the same one.
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_BODY_SHOWN = 500


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

    def get_json(self, path: str, *, params: Mapping[str, str] | None = None) -> Any:
        """GET `path` and return the decoded JSON body.

        Raises:
            Refused: The server answered with a status that asking again cannot change.
            Unavailable: It gave no usable answer in `attempts` attempts; carries the last cause.
        """
        return self.request("GET", path, params=params).json()

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
        """
        import requests

        pauses = backoff(0.2, cap_s=10.0)
        repeatable = method.upper() in {"GET", "HEAD", "PUT", "DELETE"}
        last = "no attempt was made"
        for attempt in range(1, self.attempts + 1):
            cause: Exception | None = None
            pause_s = next(pauses)
            try:
                answer = self._open().request(
                    method, self.base_url + path, params=params, json=json, timeout=self.timeout_s
                )
            except requests.RequestException as error:
                cause, last = error, f"{type(error).__name__}: {error}"
                again = repeatable or isinstance(error, requests.ConnectTimeout)
            else:
                if answer.ok:
                    return answer
                last = f"HTTP {answer.status_code}: {answer.text[:_LONGEST_BODY_SHOWN]}"
                if answer.status_code not in TRANSIENT_STATUSES:
                    raise Refused(
                        f"{self.server} refused {method} {path}.",
                        seen=last,
                        remedy="Not retried: the answer would be the same.",
                    )
                again = repeatable or answer.status_code in {429, 503}
                pause_s = _retry_after_s(answer) or pause_s
            if not again or attempt == self.attempts:
                raise Unavailable(
                    f"{self.server} did not answer {method} {path} ({attempt} attempt(s) made).",
                    seen=last,
                    remedy=f"Check that {self.base_url} can be reached, then try again.",
                ) from cause
            self.clock.sleep(pause_s)
        raise AssertionError("the loop returns or raises")

    def close(self) -> None:
        """Close the pooled connections. The client may be used again afterwards."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _open(self) -> requests.Session:
        if self._session is None:
            import requests

            self._session = requests.Session()
        return self._session


def _retry_after_s(answer: requests.Response) -> float | None:
    value = answer.headers.get("Retry-After", "")
    return min(float(value), 60.0) if value.isdigit() else None
