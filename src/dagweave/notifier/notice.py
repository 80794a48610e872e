"""What happened, and what every notifier does with it. Knows nothing of Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Severity = Literal["info", "warning", "error", "critical"]
Ability = Literal["update", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something happened that a person should know of, whatever carries the news.

    All of it is plain text in no destination's markup, `message` and `blocks` apart. A notifier
    cuts and escapes it as its destination demands.

    Attributes:
        summary: What happened, in one line: `Op load_flights on job nightly failed!`
        dedup_key: Equal for all notices of one problem: `nightly|load_flights`.
        assets: The assets that it is about, as `raw/flights`. On a failure, those that the step
            should have materialized and did not.
        partition: The partition, or the range of partitions, that the run was for.
        failed_checks: The asset checks that did not pass, as `raw/flights: not_null`.
        details: What was seen, often an error's text. May span many lines.
        full_details: All that is known, a traceback say, where `details` is less than that.
        owners: Who should know, by e-mail address or by the name of a team: `team:data`.
        link: The run's page in Dagster's UI.
        message: What the user's own function wrote, in the destination's markup; it is shown in
            place of all the above but the link.
        blocks: The same, laid out, for a destination that has a layout.
        happened_at_s: When it happened, in seconds since 1970.
    """

    summary: str
    severity: Severity
    dedup_key: str
    job_name: str | None = None
    op_name: str | None = None
    run_id: str | None = None
    assets: tuple[str, ...] = ()
    partition: str | None = None
    failed_checks: tuple[str, ...] = ()
    details: str = ""
    full_details: str = ""
    owners: tuple[str, ...] = ()
    link: str | None = None
    message: str | None = None
    blocks: tuple[dict[str, object], ...] = ()
    happened_at_s: float | None = None


class Notifier(Protocol):
    """Brings notices to where people look.

    A handle is what a notifier needs to find again what it sent: a text of its own making, which
    whoever keeps it hands back unread.
    """

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do besides sending: follow up on what it sent, and close it.

        Nobody calls `update` or `resolve` of a notifier that does not declare it.
        """
        ...

    def send(self, notice: Notice) -> str | None:
        """Deliver `notice`, or say why not; return its handle, if there is one.

        Raises:
            Refused: The destination said no; asking again cannot help.
            Unavailable: It could not be asked, or could not answer now.
        """
        ...

    def update(self, notice: Notice, handle: str | None) -> str | None:
        """Tell that it happened again, where it was told first; return the handle from now on.

        Raises:
            Refused: as in `send`.
            Unavailable: as in `send`.
        """
        ...

    def resolve(self, notice: Notice, handle: str | None) -> None:
        """Tell that the problem of this `dedup_key` is over; `notice` says how.

        Raises:
            Refused: as in `send`.
            Unavailable: as in `send`.
        """
        ...


class SendsOnly:
    """For a notifier whose destination knows no later word: inherit it, and write `send`."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """None."""
        return frozenset()

    def send(self, notice: Notice) -> str | None:
        """Deliver `notice`."""
        raise NotImplementedError

    def update(self, notice: Notice, handle: str | None) -> str | None:
        """Send `notice` like any other; never called for what is declared."""
        del handle
        return self.send(notice)

    def resolve(self, notice: Notice, handle: str | None) -> None:
        """Send `notice` like any other; never called for what is declared."""
        del handle
        self.send(notice)
