"""The PagerDuty resource, and the notifier that opens and resolves alerts with it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from dagster import ConfigurableResource, InitResourceContext, resource
from pydantic import Field

from dagweave._kernel.errors import InvalidInput
from dagweave.notifier import Severity
from dagweave.pagerduty.client import PagerDutyClient, fitting_key
from dagweave.pagerduty.message import require_severity, short, trigger

if TYPE_CHECKING:
    from dagweave.notifier import Ability, Notice

_ACTIONS: Final = ("trigger", "acknowledge", "resolve")


class PagerDutyService(ConfigurableResource["PagerDutyService"]):
    """A PagerDuty service, to which events are sent.

    ```python
    from dagster import Definitions, EnvVar, asset
    from dagweave.pagerduty import PagerDutyService

    @asset
    def orders(pagerduty: PagerDutyService) -> None:
        pagerduty.EventV2_create("No orders today", source="shop", severity="warning")

    key = EnvVar("PAGERDUTY_ROUTING_KEY")
    defs = Definitions([orders], resources={"pagerduty": PagerDutyService(routing_key=key)})
    ```
    """

    routing_key: str = Field(
        repr=False,
        description="The integration key of an Events API v2 integration of the service. Give it as "
        "an EnvVar, so that it is in no code and not shown in Dagster's UI.",
    )
    base_url: str | None = Field(
        default=None,
        description="Where events are sent, if not to https://events.pagerduty.com: "
        "https://events.eu.pagerduty.com for an account in the EU. Without it, the environment "
        "variable DAGWEAVE_PAGERDUTY_BASE_URL is asked.",
    )
    timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Longest wait for a connection and for each part of an answer, in seconds.",
    )
    max_retries: int = Field(
        default=3,
        ge=0,
        description="How often an event is sent again at most, after a lost connection, a 429 or a "
        "5xx. No alert is doubled by it.",
    )

    def EventV2_create(  # noqa: N802 -- the official name
        self,
        summary: str,
        source: str,
        severity: str,
        event_action: str = "trigger",
        dedup_key: str | None = None,
        timestamp: str | None = None,
        component: str | None = None,
        group: str | None = None,
        event_class: str | None = None,
        custom_details: object | None = None,
        *,
        client: str | None = None,
        client_url: str | None = None,
        links: Sequence[Mapping[str, str]] = (),
        images: Sequence[Mapping[str, str]] = (),
    ) -> dict[str, Any]:
        """Send an event, and return what PagerDuty says: `status`, `message`, `dedup_key`.

        Args:
            summary: What is wrong, in one line; cut at 1,024 characters.
            source: What is affected: a host, a job.
            severity: `info`, `warning`, `error` or `critical`.
            event_action: `trigger`, `acknowledge` or `resolve`; the latter two need a `dedup_key`.
            dedup_key: What joins the events of one alert. Beyond 255 characters its end is replaced
                by a hash. Without one, one is made up and returned.
            timestamp: When it was detected, in ISO 8601.
            component: What of the source is affected.
            group: What the source belongs to.
            event_class: What kind of event it is.
            custom_details: More about it, as JSON can say it.
            client: What sends the event, as the incident shows it.
            client_url: A page of that.
            links: For each, `href`, and `text` if it is to be called otherwise.
            images: For each, `src` (an address with https), and maybe `href` and `alt`.

        Raises:
            InvalidInput: An argument cannot be sent.
            Refused: PagerDuty said no; carries what it said.
            Unavailable: PagerDuty was not reached, or could not answer now.
        """
        _check("severity", severity, get_args(Severity))
        _check("event_action", event_action, _ACTIONS)
        if event_action != "trigger" and not dedup_key:
            raise InvalidInput(
                f"An event that is to {event_action} an alert needs a dedup_key.",
                remedy="Give the key with which the alert was triggered.",
            )
        if not summary.strip() or not source.strip():
            missing = "source" if summary.strip() else "summary"
            raise InvalidInput(f"An event for PagerDuty needs a {missing}.", remedy="Give it one.")
        payload: dict[str, Any] = {
            "summary": short(summary),
            "source": source,
            "severity": severity,
            "timestamp": timestamp,
            "component": component,
            "group": group,
            "class": event_class,
            "custom_details": _as_object(custom_details),
        }
        event: dict[str, Any] = {
            "event_action": event_action,
            # One of ours lets the event be sent again without opening a second alert.
            "dedup_key": fitting_key(dedup_key or uuid.uuid4().hex),
            "payload": _given(payload),
            "client": client,
            "client_url": client_url,
            "links": [dict(link) for link in links] or None,
            "images": [dict(image) for image in images] or None,
        }
        return self._client().enqueue(_given(event))

    def acknowledge(self, dedup_key: str) -> dict[str, Any]:
        """Say that somebody works on the alert of this key; raises as `EventV2_create` does."""
        return self._act("acknowledge", dedup_key)

    def resolve(self, dedup_key: str) -> dict[str, Any]:
        """Say that the alert of this key is over; raises as `EventV2_create` does."""
        return self._act("resolve", dedup_key)

    def change_event(
        self,
        summary: str,
        *,
        source: str | None = None,
        timestamp: str | None = None,
        custom_details: Mapping[str, Any] | None = None,
        links: Sequence[Mapping[str, str]] = (),
        images: Sequence[Mapping[str, str]] = (),
    ) -> dict[str, Any]:
        """Tell of a change, a deployment say; it alarms nobody, and is shown beside incidents.

        Raises as `EventV2_create` does.

        Args:
            summary: What changed, in one line.
            source: What it changed.
            timestamp: When, in ISO 8601.
            custom_details: More about it, as JSON can say it.
            links: For each, `href`, and `text` if it is to be called otherwise.
            images: For each, `src` (an address with https), and maybe `href` and `alt`.
        """
        if not summary.strip():
            raise InvalidInput("A change event needs a summary.", remedy="Give it one.")
        payload: dict[str, Any] = {
            "summary": short(summary),
            "source": source,
            "timestamp": timestamp,
            "custom_details": dict(custom_details) if custom_details else None,
        }
        event: dict[str, Any] = {
            "payload": _given(payload),
            "links": [dict(link) for link in links] or None,
            "images": [dict(image) for image in images] or None,
        }
        return self._client().enqueue_change(_given(event))

    def notifier(self, *, severity: Severity | None = None) -> PagerDutyNotifier:
        """Return what opens and resolves alerts for notices; for the sensors of the family.

        Args:
            severity: In place of each notice's own.

        Raises:
            InvalidInput: There is no such severity.
        """
        if severity is not None:
            require_severity(severity)
        return PagerDutyNotifier(self._client(), severity)

    def _act(self, action: str, dedup_key: str) -> dict[str, Any]:
        if not dedup_key:
            raise InvalidInput(
                f"To {action} an alert takes its dedup_key.",
                remedy="Give the key with which the alert was triggered.",
            )
        return self._client().enqueue({"event_action": action, "dedup_key": fitting_key(dedup_key)})

    def _client(self) -> PagerDutyClient:
        return PagerDutyClient(self.routing_key, self.base_url, self.timeout_s, self.max_retries)


@dataclass(frozen=True, slots=True)
class PagerDutyNotifier:
    """Opens and resolves alerts for notices: a `dagweave.notifier.Notifier`.

    All notices of one problem are one alert, since they have one key.
    """

    client: PagerDutyClient
    severity: Severity | None = None

    @property
    def abilities(self) -> frozenset[Ability]:
        """Both."""
        return frozenset({"update", "resolve"})

    def send(self, notice: Notice) -> str | None:
        """Open an alert, or add to the open one of the notice's key.

        Raises:
            Refused: PagerDuty said no; carries what it said.
            Unavailable: PagerDuty was not reached, or could not answer now.
        """
        self.client.enqueue(trigger(notice, self.severity))
        return None

    def update(self, notice: Notice, handle: str | None) -> str | None:
        """Add to the open alert of the notice's key. Raises as `send` does."""
        del handle
        return self.send(notice)

    def resolve(self, notice: Notice, handle: str | None) -> None:
        """Resolve the alert of the notice's key. Raises as `send` does."""
        del handle
        key = fitting_key(notice.dedup_key)
        self.client.enqueue({"event_action": "resolve", "dedup_key": key})


@resource(
    config_schema=PagerDutyService.to_config_schema(),
    description="Sends events to a PagerDuty service.",
)
def pagerduty_resource(context: InitResourceContext) -> PagerDutyService:
    """Yields a `PagerDutyService` from the configuration of a run: the form without classes."""
    return PagerDutyService.from_resource_context(context)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _as_object(details: object) -> object:
    """PagerDuty takes an object alone; anything else becomes one."""
    if details is None or isinstance(details, Mapping):
        return cast("object", details)
    return {"details": details}


def _check(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InvalidInput(
            f"{value!r} is no {name} of PagerDuty's.", remedy=f"Use one of: {', '.join(known)}."
        )
