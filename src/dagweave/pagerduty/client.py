"""Speak PagerDuty's Events API, and say plainly what went wrong. Knows nothing of Dagster.

https://developer.pagerduty.com/docs/events-api-v2-overview
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from dagweave._kernel.clock import SYSTEM_CLOCK
from dagweave._kernel.errors import DagweaveError, InvalidInput, Refused, Unavailable
from dagweave._kernel.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagweave._kernel.clock import Clock

DEFAULT_BASE_URL = "https://events.pagerduty.com"
BASE_URL_VARIABLE = "DAGWEAVE_PAGERDUTY_BASE_URL"

# https://developer.pagerduty.com/docs/send-alert-event
LONGEST_DEDUP_KEY = 255
MOST_BYTES = 512 * 1024

_WEB_ADDRESS: Final = re.compile(r"https?://[^/?#\s]", re.IGNORECASE)
_ANOTHER_KEY: Final = (
    "Use the integration key of an Events API v2 integration of the service: 32 characters, from "
    "the service's page, under Integrations."
)


@dataclass(frozen=True, slots=True)
class PagerDutyClient:
    """Sends events with one routing key. Safe to share between threads.

    Args:
        base_url: Where `/v2/enqueue` is: `https://events.eu.pagerduty.com` in the EU's region.
            Without one, that of the environment variable `DAGWEAVE_PAGERDUTY_BASE_URL`, or that of
            the US.
        timeout_s: Longest wait for a connection, and for each part of an answer, in seconds.
        max_retries: How often an event is sent again at most, after 429, a 5xx, or no answer.
    """

    routing_key: str = field(repr=False)
    base_url: str | None = None
    timeout_s: float = 10.0
    max_retries: int = 3
    clock: Clock = SYSTEM_CLOCK

    def enqueue(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Send an event, and return what PagerDuty says: `status`, `message`, `dedup_key`.

        An event with a `dedup_key` is sent again where no answer came: PagerDuty knows it.

        Raises:
            InvalidInput: It is no event that can be sent, or the address is none.
            Refused: PagerDuty said no; carries what it said.
            Unavailable: PagerDuty was not reached, or could not answer now.
        """
        return self._post("/v2/enqueue", event, repeatable=bool(event.get("dedup_key")))

    def enqueue_change(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Send a change event; raises as `enqueue` does."""
        return self._post("/v2/change/enqueue", event, repeatable=False)

    def _post(self, path: str, event: Mapping[str, Any], *, repeatable: bool) -> dict[str, Any]:
        body = _encoded({"routing_key": self.routing_key, **event})
        http = HttpClient(
            self._address(),
            "PagerDuty",
            timeout_s=self.timeout_s,
            attempts=self.max_retries + 1,
            clock=self.clock,
            headers=lambda: {"Content-Type": "application/json"},
            secrets=(self.routing_key,),
        )
        try:
            answer = http.request("POST", path, body=body, repeatable=repeatable)
            return _understood(answer.json())
        except DagweaveError as error:
            raise _explained(error, path) from error
        except ValueError as error:
            raise InvalidInput(
                f"What answers at {http.base_url} is not PagerDuty: the event was not sent.",
                remedy=f"Check base_url, or the environment variable {BASE_URL_VARIABLE}.",
            ) from error
        finally:
            http.close()

    def _address(self) -> str:
        address = self.base_url or os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
        if not _WEB_ADDRESS.match(address):
            raise InvalidInput(
                f"{address!r} is not the address of PagerDuty.",
                remedy=f"Check base_url, or the environment variable {BASE_URL_VARIABLE}; without "
                f"either, it is {DEFAULT_BASE_URL}.",
            )
        return address.rstrip("/")


def fitting_key(dedup_key: str) -> str:
    """The key itself, or its beginning and its hash if it is longer than PagerDuty takes."""
    if len(dedup_key) <= LONGEST_DEDUP_KEY:
        return dedup_key
    digest = hashlib.sha256(dedup_key.encode("utf-8", "replace")).hexdigest()
    return f"{dedup_key[: LONGEST_DEDUP_KEY - len(digest) - 1]}#{digest}"


def _encoded(event: Mapping[str, Any]) -> bytes:
    try:
        body = json.dumps(event, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            "An event for PagerDuty holds what JSON cannot say.",
            seen=str(error),
            remedy="Give custom_details as text, numbers, lists and dicts.",
        ) from error
    if len(body) > MOST_BYTES:
        raise InvalidInput(
            f"An event for PagerDuty has {len(body):,} bytes; PagerDuty takes {MOST_BYTES:,}.",
            remedy="Send less in custom_details.",
        )
    return body


def _understood(answer: object) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ValueError  # noqa: TRY004 -- as what is no JSON at all
    return cast("dict[str, Any]", answer)


def _explained(error: DagweaveError, path: str) -> DagweaveError:
    event = "a change event" if "change" in path else "an event"
    seen = error.seen or ""
    if isinstance(error, Refused):
        about_key = "routing" in seen.lower() or "key" in seen.lower()
        look_up = "https://developer.pagerduty.com/docs/send-alert-event says what it takes."
        return Refused(
            f"PagerDuty refused {event}.",
            seen=seen,
            remedy=f"{_ANOTHER_KEY if about_key else look_up} Not retried: the answer would be the "
            "same.",
        )
    if isinstance(error, Unavailable):
        return Unavailable(
            f"PagerDuty did not take {event} just now.", seen=seen, remedy=error.remedy
        )
    return error
