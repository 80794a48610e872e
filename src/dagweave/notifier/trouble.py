"""What an error says, in few words or in all."""

from __future__ import annotations

import traceback
from collections import deque
from typing import TYPE_CHECKING, cast

from dagster import Failure

from dagweave._kernel.errors import DagweaveError
from dagweave._kernel.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

# An error is often wrapped once or twice; beyond that the first lines say it all.
_MOST_CAUSES = 3


def error_text(error: BaseException) -> str:
    """What `error` says, and what is behind it that it does not say itself.

    That is its cause, what was being handled when it was raised, and what a group holds. A
    `dagster.Failure` speaks for itself; any other error is shown with its type.
    """
    lines = [_one_error(error)]
    seen = {id(error)}
    waiting = deque(_behind(error))
    while waiting and len(lines) <= _MOST_CAUSES:
        relation, other = waiting.popleft()
        if id(other) in seen:
            continue
        seen.add(id(other))
        text = _one_error(other)
        if not any(text in line for line in lines):
            lines.append(f"{relation} {text}")
        waiting.extend(_behind(other))
    return "\n".join(lines)


def _behind(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        yield from (("one of them:", member) for member in group.exceptions)
    if error.__cause__:
        yield "caused by", error.__cause__
    elif error.__context__ and not error.__suppress_context__:
        yield "while handling", error.__context__


def _one_error(error: BaseException) -> str:
    if isinstance(error, Failure) and error.description:
        return error.description
    # The standard library's way also reads an error whose `__str__` fails.
    text = "".join(traceback.TracebackException.from_exception(error).format_exception_only())
    return text.strip().removeprefix(f"{type(error).__module__}.")


def told(error: BaseException) -> str:
    """An error of ours says what to do; of any other, the traceback shows whose it is."""
    if isinstance(error, DagweaveError):
        return f"{type(error).__name__}: {error}"
    return redact("".join(traceback.format_exception(error)).strip())
