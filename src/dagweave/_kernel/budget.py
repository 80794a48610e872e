"""How fast a server may be asked, shared by all who ask it with the same account."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAST_PART = 0.1


@dataclass
class RateBudget:
    """What a server said about its limits. Safe to share between threads.

    After a `Retry-After` nobody asks until it is over. In the last tenth of what `X-Rate-Limit`
    allows, requests are spaced as the allowance comes back.

    Args:
        period_s: The time that `X-Rate-Limit` is an allowance for, in seconds.
    """

    period_s: float = 3600.0
    clock: Clock = SYSTEM_CLOCK
    _closed_until: float = field(default=0.0, init=False)
    _spacing_s: float = field(default=0.0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def wait_s(self) -> float:
        """How long to wait before the next request, in seconds; that request is counted."""
        with self._lock:
            now = self.clock.monotonic()
            at = max(now, self._closed_until)
            if self._spacing_s:
                self._closed_until = at + self._spacing_s
            return at - now

    def close_for(self, seconds: float) -> None:
        """Let nobody ask for that long."""
        with self._lock:
            self._closed_until = max(self._closed_until, self.clock.monotonic() + seconds)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Take note of what an answer says is left."""
        limit = headers.get("X-Rate-Limit", "")
        left = headers.get("X-Rate-Limit-Remaining", "")
        if not (limit.isdecimal() and left.isdecimal() and int(limit)):
            return
        scarce = int(left) < int(limit) * _LAST_PART
        with self._lock:
            self._spacing_s = self.period_s / int(limit) if scarce else 0.0
