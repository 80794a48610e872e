"""Time that passes when a test says so."""

from __future__ import annotations


class FakeClock:
    """A clock on which sleeping takes no time: it moves the hand and notes how far.

    Hand it to whatever takes a clock. One thread at a time.

    Attributes:
        slept: Each pause that was asked for, in seconds, in order.
    """

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return self._now_s

    def sleep(self, seconds: float) -> None:
        """Move on by `seconds` at once, and note it in `slept`."""
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, as when something else takes its time."""
        if seconds < 0:
            raise ValueError(f"Time does not go back, not by {seconds} s either.")
        self._now_s += seconds
