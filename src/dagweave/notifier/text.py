"""Make text fit to be shown: cut, listed, without what no screen can show. Pure functions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from dagweave._kernel.redact import TERMINAL_CODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dagweave.notifier.notice import Notice

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    """Return `text` without terminal codes, and with `�` for what is not a character at all."""
    text = TERMINAL_CODE.sub("", text).replace("\r\n", "\n")
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def cut(text: str, limit: int, *, width: Callable[[str], int] = len) -> str:
    """Return `text` if it fits into `limit`, else its head and its tail, and how much is missing.

    An error says what it is at its start and often why at its end, so both ends stay, in equal
    parts.

    Args:
        limit: The most that the result may measure, as the sum of `width` over its characters. A
            limit too small for the note about what is missing yields a bare head.
        width: What one character takes once it is escaped for its destination.
    """
    if sum(map(width, text)) <= limit:
        return text
    note = f"\n… {len(text):,} characters in all, cut …\n"
    room = limit - sum(map(width, note))
    if room <= 0:
        return text[: _fitting(text, limit, width)]
    head = _fitting(text, room - room // 2, width)
    tail = _fitting(text[::-1], room // 2, width)
    return text[:head] + note + text[len(text) - tail :]


def listed(names: Sequence[str], *, limit: int) -> str:
    """Return `names` as `a, b, c`, the first `limit` of them: `a, b and 3 more`."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"


def facts(notice: Notice, *, most_names: int) -> Iterator[tuple[str, str]]:
    """What is known of a notice besides its summary and its details: a label and a value each."""
    failed = notice.severity in {"error", "critical"} and notice.op_name
    for label, value in (
        ("Not materialized" if failed else "Assets", listed(notice.assets, limit=most_names)),
        ("Partition", notice.partition),
        ("Failed checks", listed(notice.failed_checks, limit=most_names)),
    ):
        if value:
            yield label, value


def as_plain_text(notice: Notice) -> str:
    """All that a notice says but its summary, for a destination without markup and limits."""
    lines = [notice.message] if notice.message else list(_lines(notice))
    return printable("\n".join([*lines, notice.link] if notice.link else lines))


def _lines(notice: Notice) -> Iterator[str]:
    if notice.run_id:
        yield f"Run ID: {notice.run_id}"
    yield from (f"{label}: {value}" for label, value in facts(notice, most_names=50))
    if notice.owners:
        yield f"Owners: {', '.join(notice.owners)}"
    if notice.details:
        yield f"\n{notice.details}\n"


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return `value`, of JSON's kinds, with every text in it changed; the names stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        return {name: each_text(each, change) for name, each in found.items()}
    if isinstance(value, list | tuple):
        return [each_text(each, change) for each in cast("list[Any]", value)]
    return value


def _fitting(text: str, room: int, width: Callable[[str], int]) -> int:
    """How many characters from the start of `text` fit into `room`."""
    for count, character in enumerate(text):
        room -= width(character)
        if room < 0:
            return count
    return len(text)
