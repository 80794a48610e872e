"""Ask a translator once per table, and see that what it says can stand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dagster import AssetSpec

from dagweave._kernel.errors import InvalidInput
from dagweave.connector.model import IDENTITY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dagster import AssetKey

    from dagweave.connector.model import SyncedTable
    from dagweave.connector.vendor import Vendor


def spec_of(vendor: Vendor[Any], table: SyncedTable, translator: Any) -> AssetSpec:
    """The asset of one table, with what it is found again by.

    Raises:
        InvalidInput: The translator failed, or returned something else; names the table.
    """
    what = f"table {table.label} of {vendor.name} connection {table.connection_id!r}"
    name = type(translator).__name__
    try:
        spec = translator.get_asset_spec(table.props)
    except Exception as error:
        raise InvalidInput(
            f"{name}.get_asset_spec failed at {what}.", seen=f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(spec, AssetSpec):
        raise InvalidInput(
            f"{name}.get_asset_spec returned no AssetSpec for {what}.", seen=repr(spec)
        )
    return spec.merge_attributes(
        metadata={IDENTITY: table.identity, vendor.translator_key: translator}
    )


def specs_of(
    vendor: Vendor[Any], tables: Iterable[SyncedTable], translator: Any
) -> list[AssetSpec]:
    """The assets of many tables.

    Raises:
        InvalidInput: as in `spec_of`, or two tables have one key; names both.
    """
    specs: list[AssetSpec] = []
    first: dict[AssetKey, SyncedTable] = {}
    for table in tables:
        spec = spec_of(vendor, table, translator)
        other = first.setdefault(spec.key, table)
        if other is not table:
            raise InvalidInput(
                f"Two tables of {vendor.name} have one asset key: {spec.key.to_user_string()}.",
                seen="\n".join(
                    f"{each.label} of connection {each.connection_id!r}" for each in (other, table)
                ),
                remedy="Let the translator make the connection a part of the key, or leave one of "
                "the connections out.",
            )
        specs.append(spec)
    return specs


def by_identity(specs: Iterable[AssetSpec]) -> Mapping[str, AssetSpec]:
    """The assets that are tables of connections, by what they are found again by."""
    return {spec.metadata[IDENTITY]: spec for spec in specs if IDENTITY in spec.metadata}


def the_one_connection(vendor: Vendor[Any], specs: Iterable[AssetSpec]) -> str:
    """The connection whose tables the assets are.

    Raises:
        InvalidInput: There is none, or more than one.
    """
    ids = sorted({json.loads(identity)[0] for identity in by_identity(specs)})
    if len(ids) == 1:
        return ids[0]
    raise InvalidInput(
        f"sync_and_poll syncs one {vendor.name} connection, and the assets of this step are of "
        f"{len(ids)}.",
        seen=", ".join(ids) or f"None of them was made by dagweave.{vendor.area}.",
        remedy=f"Make them with @{vendor.area}_assets, one definition per connection.",
    )
