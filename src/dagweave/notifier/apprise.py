"""A notifier over Apprise: mail, Teams, Telegram and a hundred more, by the address of each.

https://appriseit.com/services
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from dagweave._kernel.errors import InvalidInput, Unavailable
from dagweave._kernel.extras import require
from dagweave._kernel.redact import redact
from dagweave.notifier.notice import SendsOnly
from dagweave.notifier.text import as_plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dagweave.notifier.notice import Notice, Severity

_KINDS: Final[Mapping[Severity, str]] = {
    "info": "info",
    "warning": "warning",
    "error": "failure",
    "critical": "failure",
}


@dataclass(frozen=True, slots=True)
class AppriseNotifier(SendsOnly):
    """Sends notices to an address of Apprise: `mailto://`, `msteams://`, `tgram://`, ...

    ```python
    from dagweave.notifier import AppriseNotifier

    mail = AppriseNotifier("mailto://user:password@example.org?to=oncall@example.org")
    ```

    Args:
        url: Where to, as Apprise writes it. It holds secrets, and is never shown.
    """

    url: str = field(repr=False)

    def send(self, notice: Notice) -> str | None:
        """Deliver `notice`.

        Raises:
            MissingExtra: Apprise is not installed.
            InvalidInput: The address is of no service that Apprise knows.
            Unavailable: The service did not take it; Apprise does not tell whether it may later.
        """
        require("apprise", extra="apprise", what="AppriseNotifier.send()")
        import apprise

        service = f"{self.url.partition(':')[0]}://"
        client = apprise.Apprise()
        if not client.add(self.url):
            raise InvalidInput(
                f"Apprise knows no service by the address that begins with {service}",
                remedy="Look up how it is written: https://appriseit.com/services",
            )
        said: list[str] = []
        # Apprise tells why only in its log.
        handler = _Heard(said)
        log = logging.getLogger("apprise")
        log.addHandler(handler)
        try:
            sent = client.notify(
                title=notice.summary,
                body=as_plain_text(notice) or notice.summary,
                notify_type=apprise.NotifyType(_KINDS[notice.severity]),
                body_format=apprise.NotifyFormat.TEXT,
            )
        finally:
            log.removeHandler(handler)
        if not sent:
            raise Unavailable(
                f"A notice was not taken by {service}.",
                seen=redact("\n".join(said), _secrets(self.url)),
                remedy="Check the address, and that the service can be reached from here.",
            )
        return None


class _Heard(logging.Handler):
    """Keeps what a library complains of."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self._said.append(record.getMessage())


def _secrets(url: str) -> list[str]:
    """Whatever in an address of Apprise may be a secret: all of it but the name of the service."""
    from urllib.parse import unquote, urlsplit

    rest = urlsplit(url)
    parts = [rest.username, rest.password, *rest.path.split("/"), rest.netloc]
    return [each for part in parts if part for each in (part, unquote(part))]
