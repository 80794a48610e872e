"""The ways in which one request to Slack goes wrong."""

from __future__ import annotations

from dataclasses import dataclass

from dagweave.testing.slack.workspace import Answer, rate_limited, refusal


@dataclass(frozen=True, slots=True)
class Fault:
    """A way in which one request goes wrong. Made by the class methods.

    Attributes:
        answer: What is said in place of the true answer.
        accepted: Whether the request takes effect nevertheless.
        wait_s: How long nothing is said, in seconds.
        lost: Whether the connection closes without a word.
    """

    answer: Answer | None = None
    accepted: bool = False
    wait_s: float = 0.0
    lost: bool = False

    @classmethod
    def refused(cls, error: str) -> Fault:
        """Slack says no, with this code: `invalid_blocks`, `account_inactive`, ..."""
        return cls(refusal(error))

    @classmethod
    def rate_limited(cls, retry_after_s: int = 1) -> Fault:
        """Slack answers 429 and names the seconds to wait."""
        return cls(rate_limited(retry_after_s))

    @classmethod
    def status(cls, status: int) -> Fault:
        """Slack answers with an HTTP status and no JSON, as when it is down."""
        return cls(Answer({}, status=status))

    @classmethod
    def slow(cls, seconds: float) -> Fault:
        """Slack does as asked, and says so only after `seconds`."""
        return cls(accepted=True, wait_s=seconds)

    @classmethod
    def disconnected(cls) -> Fault:
        """The connection closes before Slack does anything."""
        return cls(lost=True)

    @classmethod
    def reply_lost(cls) -> Fault:
        """Slack does as asked, and the connection closes before it can say so."""
        return cls(accepted=True, lost=True)
