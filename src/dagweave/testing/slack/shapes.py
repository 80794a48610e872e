"""What a JSON value must look like for Slack to take it, and what Slack says when it does not.

A check takes a value and where it stands, and yields what is wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Check: TypeAlias = Callable[[object, str], Iterator[str]]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Object:
    """An object with these properties and no other. A property that is null is not there.

    Attributes:
        either: Properties of which one must be there; the first is said to be missing.
    """

    needed: Mapping[str, Check] = field(default_factory=dict[str, "Check"])
    optional: Mapping[str, Check] = field(default_factory=dict[str, "Check"])
    either: tuple[str, ...] = ()

    def __call__(self, value: object, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"must be an object [json-pointer:{at}]"
            return
        found = {name: part for name, part in cast("Json", value).items() if part is not None}
        missing = [name for name in self.needed if name not in found]
        if self.either and not found.keys() & set(self.either):
            missing.append(self.either[0])
        for name in missing:
            yield f"missing required field: {name} [json-pointer:{at}]"
        checks = {**self.needed, **self.optional}
        for name, part in found.items():
            if name in checks:
                yield from checks[name](part, f"{at}/{name}")
            else:
                yield f"invalid additional property: {name} [json-pointer:{at}]"


def by_type(checks: Mapping[str, Check], *, others: Check | None = None) -> Check:
    """An object that its `type` says how to check; of any other type, `others` does."""

    def check(value: object, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"must be an object [json-pointer:{at}]"
            return
        rest = dict(cast("Json", value))
        kind = rest.pop("type", None)
        if not isinstance(kind, str):
            yield f"missing required field: type [json-pointer:{at}]"
        elif known := checks.get(kind, others):
            yield from known(rest, at)
        else:
            known = ", ".join(checks)
            yield f"unsupported type: {kind}; must be one of {known} [json-pointer:{at}/type]"

    return check


def string(longest: int, *, shortest: int = 1) -> Check:
    """A text of so many characters."""

    def check(value: object, at: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield f"must be a string [json-pointer:{at}]"
        elif len(value) < shortest:
            yield f"must be more than {shortest - 1} characters [json-pointer:{at}]"
        elif len(value) > longest:
            yield f"must be less than {longest + 1} characters [json-pointer:{at}]"

    return check


def array(each: Check, most: int) -> Check:
    """One to `most` items, each of which `each` checks."""

    def check(value: object, at: str) -> Iterator[str]:
        if not isinstance(value, list) or not value:
            yield f"no less than 1 items allowed [json-pointer:{at}]"
            return
        items = cast("list[object]", value)
        if len(items) > most:
            yield f"no more than {most} items allowed [json-pointer:{at}]"
        for index, item in enumerate(items):
            yield from each(item, f"{at}/{index}")

    return check


def choice(*values: str) -> Check:
    """One of `values`."""

    def check(value: object, at: str) -> Iterator[str]:
        if value not in values:
            yield f"must be {' or '.join(values)} [json-pointer:{at}]"

    return check


def anything(_: object, __: str) -> Iterator[str]:
    """What is not looked into."""
    yield from ()
