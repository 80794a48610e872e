"""What an engine can do of what the family offers, declared rather than found out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from dagweave._kernel.errors import InvalidInput
from dagweave.warehouse.plan import Mode, Outside, SchemaPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagweave.warehouse.plan import WritePlan


class Feature(StrEnum):
    """Something that an engine may do or not. The value is how the documents call it."""

    REPLACE = "replace a table"
    REPLACE_SLICE = "replace partitions"
    APPEND = "append, once per run"
    MERGE = "merge by keys"
    DELETE_UNMATCHED = "merge, and delete what is gone"
    CREATE_ONLY = "create only"
    ADD_COLUMNS = "schema policy add_columns"
    WIDEN = "schema policy widen"
    DROP_OUTSIDE = "leave out rows of other partitions"
    STREAM = "write a stream in flat memory"
    PUSHDOWN = "write the result of a query"
    RETYPE = "give a column without values the type that it turns out to have"
    KEEP_CONSTRAINTS = "keep constraints and grants of a table that is replaced by an equal one"
    ODD_NAMES = "names of schemas, tables and columns with dots, spaces or quotes"
    NESTED = "lists, structs and maps"
    NULLS_IN_LISTS = "lists that are null, or in which a value is"
    WALL_CLOCK = "timestamps without time zone"
    OWN_ZONE = "timestamps come back in the time zone that they were written in"


@dataclass(frozen=True, slots=True)
class Capability:
    """Whether an engine does something; if not, why not."""

    state: Literal["supported", "not yet", "never"]
    reason: str = ""

    def __bool__(self) -> bool:
        """Whether it does."""
        return self.state == "supported"


SUPPORTED: Final = Capability("supported")


def not_yet(reason: str) -> Capability:
    """It could, and we have not done it."""
    return Capability("not yet", reason)


def never(reason: str) -> Capability:
    """It cannot."""
    return Capability("never", reason)


Capabilities = dict[Feature, Capability]
"""For each feature: whether an engine has it."""


def all_but(**lacking: Capability) -> Capabilities:
    """Every feature, but for those that are named (`MERGE=never("...")`)."""
    return {each: lacking.get(each.name, SUPPORTED) for each in Feature}


def require(plan: WritePlan, capabilities: Mapping[Feature, Capability], kind: str) -> None:
    """Refuse a plan that an engine cannot carry out.

    Raises:
        InvalidInput: Says what it cannot, and why.
    """
    for feature in _needed(plan):
        capability = capabilities[feature]
        if not capability:
            raise InvalidInput(
                f"{plan} was not written: {kind} cannot do that: {feature.value} ({capability.state}).",
                seen=capability.reason,
                remedy="Choose another write_mode, schema_policy or rows_outside.",
            )


def _needed(plan: WritePlan) -> Iterator[Feature]:
    match plan.mode:
        case Mode.APPEND:
            yield Feature.APPEND
        case Mode.MERGE:
            yield Feature.DELETE_UNMATCHED if plan.delete_unmatched else Feature.MERGE
        case Mode.CREATE_ONLY:
            yield Feature.CREATE_ONLY
        case _:
            yield Feature.REPLACE_SLICE if plan.slice else Feature.REPLACE
    if plan.policy is SchemaPolicy.ADD_COLUMNS:
        yield Feature.ADD_COLUMNS
    if plan.policy is SchemaPolicy.WIDEN:
        yield Feature.WIDEN
    if plan.outside is Outside.DROP and plan.slice:
        yield Feature.DROP_OUTSIDE
