"""What tells one vendor from another, as data: the rest of the family is the same for all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dagweave.connector.model import SyncedTable

D = TypeVar("D")


class Connection(Protocol):
    """What every vendor's model of a connection has."""

    @property
    def id(self) -> str:
        """By which the vendor knows it."""
        ...

    @property
    def name(self) -> str:
        """By which people know it."""
        ...


@dataclass(frozen=True)
class Vendor(Generic[D]):
    """A vendor of hosted syncs.

    Args:
        name: As people call it: `Fivetran`.
        area: What its names begin with: `fivetran`.
        data: The type of a snapshot.
        format: Counts up with each change of `data` that older snapshots do not have.
        translator: What is asked about each table, unless the user says otherwise.
        translator_key: In an asset's metadata: the translator that was asked.
        connections: All connections of a snapshot by id, in order.
        tables: The tables of one connection of a snapshot.
    """

    name: str
    area: str
    data: type[D]
    format: int
    translator: type
    translator_key: str
    connections: Callable[[D], Mapping[str, Any]]
    tables: Callable[[D, str], Iterator[SyncedTable]]


def clean_name(name: str) -> str:
    """A name that Dagster takes for an op or a group."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", name).lower()
