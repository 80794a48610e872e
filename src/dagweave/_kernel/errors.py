"""The errors of Dagweave: one class per decision that a caller can make.

```
DagweaveError
├── InvalidInput        what was written cannot work: change it
│   └── SchemaMismatch  the columns of a frame and of a table do not fit
├── MissingExtra        an optional package is not installed: install it
├── Refused             the other side said no: change the request or the permission
├── WorkFailed          the work ran and ended badly: look at what it says
├── Unavailable         the other side could not answer now: try again later
└── WaitTimeout         the answer did not come in time: wait longer, or look why
```

A message has up to three parts: what failed and which; what was seen; what to do. Nothing that
looks like a secret survives in any of them (`dagweave._kernel.redact`).
"""

from __future__ import annotations

from typing import ClassVar

from dagweave._kernel.redact import redact


class DagweaveError(Exception):
    """Something failed; says what, which, what was seen and what to do.

    Args:
        what: One sentence: what failed, and which one of its kind.
        seen: What was observed, often in the words of the other side. May span lines.
        remedy: What the reader can do about it.
    """

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later with nothing changed."""

    def __init__(self, what: str, *, seen: str | None = None, remedy: str | None = None) -> None:
        self.what = redact(what)
        self.seen = redact(seen) if seen else None
        self.remedy = redact(remedy) if remedy else None
        parts = [self.what, *(_indented(part) for part in (self.seen, self.remedy) if part)]
        super().__init__("\n".join(parts))


class InvalidInput(DagweaveError):
    """What was written (code, configuration, a file) cannot work as it stands."""


class SchemaMismatch(InvalidInput):
    """The columns of a frame do not fit the table that they should go to."""


class MissingExtra(DagweaveError):
    """An optional package is not installed."""


class Refused(DagweaveError):
    """The other side answered, and the answer is no. Asking again cannot help.

    Args:
        status: The HTTP status of the answer, where there was one.
    """

    def __init__(
        self,
        what: str,
        *,
        seen: str | None = None,
        remedy: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(what, seen=seen, remedy=remedy)
        self.status = status


class WorkFailed(DagweaveError):
    """The work ran and ended badly."""


class Unavailable(DagweaveError):
    """The other side could not answer now; the same request may work later."""

    retryable: ClassVar[bool] = True


class WaitTimeout(DagweaveError):
    """What was waited for did not come in time."""

    retryable: ClassVar[bool] = True


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())
