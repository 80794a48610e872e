"""The one loop that waits: how often it looks, how long it waits, what it says when time is up."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, TypeVar

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.errors import WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


def backoff(
    first_s: float, *, cap_s: float, factor: float = 2.0, jitter: float = 0.5
) -> Iterator[float]:
    """Yield waits without end: `first_s`, then `factor` times longer each, never over `cap_s`.

    Each wait is shortened by a random part of up to `jitter` (0 to 1), so that many who wait for
    one thing do not all come back at the same moment.
    """
    for n in itertools.count():
        # The exponent is bounded so that a long wait never overflows a float.
        full = min(cap_s, first_s * factor ** min(n, 64))
        yield full * (1 - jitter * random.random())  # noqa: S311 -- spreading load, not secrets


def wait_for(
    look: Callable[[], T | None],
    *,
    what: str,
    timeout_s: float,
    pauses: Iterator[float] | None = None,
    last_seen: Callable[[], str] | None = None,
    remedy: str | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> T:
    """Call `look` until it returns something other than `None`, and return that.

    The first look is at once; between looks it sleeps for the next of `pauses` (by default 0.05 s,
    growing to 2 s), but never past the deadline: the last look is at the deadline itself.

    Args:
        what: What is waited for, for the error: `the lock of dev.duckdb`.
        timeout_s: Longest total wait, in seconds.
        last_seen: Says what was observed last, for the error.
        remedy: What the reader of the error can do.

    Raises:
        WaitTimeout: `timeout_s` passed first.
    """
    pauses = pauses or backoff(0.05, cap_s=2.0)
    deadline = clock.monotonic() + timeout_s
    while True:
        found = look()
        if found is not None:
            return found
        left_s = deadline - clock.monotonic()
        if left_s <= 0:
            raise WaitTimeout(
                f"Waited {timeout_s:g} s for {what}, in vain.",
                seen=last_seen() if last_seen else None,
                remedy=remedy,
            )
        clock.sleep(min(next(pauses), left_s))
