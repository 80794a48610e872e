"""Post to a channel no faster than Slack takes it, so that it need not say so.

A channel takes about one message a second, and a few at once:
https://docs.slack.dev/apis/web-api/rate-limits
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock

_AT_ONCE = 5
_EVERY_S = 1.0
# A step waits for its hook; beyond this, Slack is asked and may say itself that it is too fast.
_LONGEST_WAIT_S = 10.0


@dataclass
class Pace:
    """A budget of messages for each channel, shared by the threads of a process."""

    clock: Clock = SYSTEM_CLOCK
    _free_at_s: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take_turn(self, base_url: str, channel: str) -> None:
        """Return when `channel` can take one more message, or after 10 s."""
        key = base_url, channel.removeprefix("#")
        with self._lock:
            now_s = self.clock.monotonic()
            idle_s = now_s - _AT_ONCE * _EVERY_S
            turn_s = max(self._free_at_s.get(key, idle_s), idle_s) + _EVERY_S
            wait_s = min(max(turn_s - now_s, 0.0), _LONGEST_WAIT_S)
            # Whoever does not wait in full does not make the next one wait for it either.
            self._free_at_s[key] = min(turn_s, now_s + _LONGEST_WAIT_S)
        if wait_s:
            self.clock.sleep(wait_s)


_OF_THIS_PROCESS = Pace()
take_turn = _OF_THIS_PROCESS.take_turn
