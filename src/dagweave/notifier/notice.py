"""What happened, and the one thing that every notifier does with it. Knows nothing of Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Severity = Literal["info", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something happened that a person should know of, whatever carries the news.

    All of it is plain text in no destination's markup, `message` apart. A notifier cuts and
    escapes it as its destination demands.

    Attributes:
        summary: What happened, in one line: `Op load_flights on job nightly failed!`
        dedup_key: Equal for all notices of one problem: `nightly|load_flights`.
        assets: The assets that it is about, as `raw/flights`. On a failure, those that the step
            should have materialized and did not.
        partition: The partition, or the range of partitions, that the run was for.
        failed_checks: The asset checks of the step that did not pass, as `raw/flights: not_null`.
        details: What was seen, often an error's text. May span many lines.
        link: The run's page in Dagster's UI.
        message: What the user's own function wrote, in the destination's markup; it is shown in
            place of all the above but the link.
    """

    summary: str
    severity: Severity
    dedup_key: str
    job_name: str
    op_name: str
    run_id: str
    assets: tuple[str, ...] = ()
    partition: str | None = None
    failed_checks: tuple[str, ...] = ()
    details: str = ""
    link: str | None = None
    message: str | None = None


class Notifier(Protocol):
    """Brings notices to where people look."""

    def send(self, notice: Notice) -> None:
        """Deliver `notice`, or say why not.

        Raises:
            Refused: The destination said no; asking again cannot help.
            Unavailable: It could not be asked, or could not answer now.
        """
        ...
