"""How an output is written: by the settings of the I/O manager, the asset's metadata, the output's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse.locate import plain
from dagweave.warehouse.plan import Mode, Outside, SchemaPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dagweave.warehouse.plan import WritePlan

MODE: Final = "write_mode"
POLICY: Final = "schema_policy"
OUTSIDE: Final = "rows_outside"
KEYS: Final = "merge_keys"
DELETE_UNMATCHED: Final = "delete_unmatched"

Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Way:
    """The fields of a `WritePlan` that a user may say, as far as they are said."""

    mode: Mode | None = None
    policy: SchemaPolicy | None = None
    outside: Outside | None = None
    keys: tuple[str, ...] = ()
    delete_unmatched: bool = False

    @classmethod
    def of(cls, said: Mapping[str, Any], *, where: str) -> Way:
        """What some settings or metadata say.

        Args:
            where: Whose they are, for errors.

        Raises:
            InvalidInput: A value is not one of those that there are; lists them.
        """
        return cls(
            mode=_choice(Mode, MODE, said, where),
            policy=_choice(SchemaPolicy, POLICY, said, where),
            outside=_choice(Outside, OUTSIDE, said, where),
            keys=_columns(said, where),
            delete_unmatched=_flag(said, where),
        )

    def over(self, other: Way) -> Way:
        """This, and what the other says where this says nothing."""
        return Way(
            self.mode or other.mode,
            self.policy or other.policy,
            self.outside or other.outside,
            self.keys or other.keys,
            self.delete_unmatched or other.delete_unmatched,
        )

    def planned(self, plan: WritePlan, once: Sequence[str]) -> WritePlan:
        """The plan, carried out in this way.

        Raises:
            InvalidInput: It is meant for partitions, and there are none.
        """
        if self.mode is Mode.REPLACE_PARTITION and plan.slice is None:
            raise InvalidInput(
                f"{plan} was not written: write_mode 'replace_partition' is for assets with "
                "partitions, and would have replaced the whole table.",
                remedy="Give the asset a partitions_def, or say write_mode: replace.",
            )
        return replace(
            plan,
            mode=self.mode or Mode.REPLACE,
            policy=self.policy,
            outside=self.outside or Outside.WARN,
            keys=self.keys,
            delete_unmatched=self.delete_unmatched,
            once=tuple(once) if self.mode is Mode.APPEND else (),
        )


def _choice(kind: type[Choice], name: str, said: Mapping[str, Any], where: str) -> Choice | None:
    value = plain(said.get(name))
    if value is None:
        return None
    known = {each.value: each for each in kind}
    if value not in known:
        raise InvalidInput(
            f"{where} has a {name} that there is not: {value!r}.",
            remedy=f"Choose one of {', '.join(known)}.",
        )
    return known[value]


def _columns(said: Mapping[str, Any], where: str) -> tuple[str, ...]:
    value = plain(said.get(KEYS))
    if value is None:
        return ()
    names: Sequence[Any] = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(each, str) for each in names):
        raise InvalidInput(
            f"{where} has {KEYS} that are no names of columns: {value!r}.",
            remedy=f'Give a list of names: {{"{KEYS}": ["id"]}}.',
        )
    return tuple(names)


def _flag(said: Mapping[str, Any], where: str) -> bool:
    value = plain(said.get(DELETE_UNMATCHED, False))
    if not isinstance(value, bool):
        raise InvalidInput(
            f"{where} has a {DELETE_UNMATCHED} that is not true or false: {value!r}."
        )
    return value
