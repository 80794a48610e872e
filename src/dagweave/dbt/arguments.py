"""Read the arguments that a user gives to dbt, as far as they say what it runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_SELECT: Final = frozenset({"--select", "-s", "--models", "--model", "-m"})
_EXCLUDE: Final = frozenset({"--exclude"})
_INDIRECT: Final = frozenset({"--indirect-selection"})
_NARROWING: Final = frozenset(
    {
        "--selector",
        "--resource-type",
        "--resource-types",
        "--exclude-resource-type",
        "--exclude-resource-types",
    }
)
# Where dbt finds the project and the warehouse, each with a value.
_CONNECTION: Final = frozenset(
    {"--vars", "--target", "-t", "--profile", "--profiles-dir", "--project-dir"}
)
# Options of dbt itself that may stand before the command, and whose value may look like one.
_BEFORE_THE_COMMAND: Final = _CONNECTION | {
    "--log-format",
    "--log-format-file",
    "--log-level",
    "--log-level-file",
    "--log-path",
    "--target-path",
}
_NARROWING_VARIABLES: Final = ("DBT_RESOURCE_TYPES", "DBT_EXCLUDE_RESOURCE_TYPES")


@dataclass(frozen=True)
class Arguments:
    """Arguments for dbt; what selects nodes apart from the rest."""

    rest: list[str]
    selects: list[str] = field(default_factory=list[str])
    excludes: list[str] = field(default_factory=list[str])
    indirect: str | None = None

    @classmethod
    def read(cls, args: Sequence[str]) -> Arguments:
        """Take the selecting options out of `args`, with all the values that dbt would read."""
        rest: list[str] = []
        taken: dict[frozenset[str], list[str]] = {_SELECT: [], _EXCLUDE: [], _INDIRECT: []}
        into = rest
        for arg in args:
            option, equals, value = arg.partition("=")
            known = next((values for names, values in taken.items() if option in names), None)
            if known is not None and (equals or option == arg):
                into = rest if equals else known
                known.extend(value.split() if equals else [])
            elif arg.startswith("-"):
                into = rest
                rest.append(arg)
            else:
                into.extend([arg] if into is rest else arg.split())
        return cls(rest, taken[_SELECT], taken[_EXCLUDE], next(reversed(taken[_INDIRECT]), None))

    @property
    def command(self) -> str | None:
        """The dbt command: `build`, `run`, ..."""
        before: str | None = None
        for arg in self.rest:
            if not arg.startswith("-") and before not in _BEFORE_THE_COMMAND:
                return arg
            before = arg
        return None

    @property
    def has_selector(self) -> bool:
        """Whether one of the project's YAML selectors is asked for."""
        return any(arg.partition("=")[0] == "--selector" for arg in self.rest)

    @property
    def connection(self) -> list[str]:
        """What they say of the project, the profile, the target and the variables."""
        found: list[str] = []
        for at, arg in enumerate(self.rest):
            option, equals, _ = arg.partition("=")
            if option in _CONNECTION:
                found.extend([arg] if equals else self.rest[at : at + 2])
        return found

    @property
    def builds_all(self) -> bool:
        """Whether dbt is to build and test all that Dagster selected, no less."""
        return (
            self.command == "build"
            and not (self.selects or self.excludes)
            and not any(arg.partition("=")[0] in _NARROWING for arg in self.rest)
            and not any(os.environ.get(name) for name in _NARROWING_VARIABLES)
        )
