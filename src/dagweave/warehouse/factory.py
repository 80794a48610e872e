"""The I/O manager of a warehouse as users configure it: what is the same for all of them."""

from __future__ import annotations

from abc import abstractmethod
from functools import cache
from typing import TYPE_CHECKING, Any, Self, cast

from dagster import (
    ConfigurableIOManagerFactory,
    DagsterConfigMappingFunctionError,
    EnvVar,
    InitResourceContext,
    IOManagerDefinition,
)
from pydantic import Field, model_validator

from dagweave._dagster.private import LazyConfigSchema
from dagweave.warehouse.io_manager import WarehouseIOManager
from dagweave.warehouse.ways import MODE, OUTSIDE, POLICY, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dagster import AssetKey

    from dagweave._dagster.private import DbTypeHandler
    from dagweave.warehouse.store import TableStore
    from dagweave.weaving.table_ref import TableRef

SCHEMA = "The schema of tables whose asset names none in its metadata."


class WarehouseIOManagerFactory(ConfigurableIOManagerFactory[Any]):
    """Stores what assets return as tables; the base of the I/O managers of all warehouses."""

    # `schema` is a method of every Pydantic model.
    schema_: str | None = Field(default=None, alias="schema", description=SCHEMA)
    write_mode: str | None = Field(
        default=None,
        description="What a write does to the rows that are there: replace (the default), "
        "replace_partition, append, merge, create_only, skip_if_empty. An asset's metadata, or an "
        "output's, may say otherwise.",
    )
    schema_policy: str | None = Field(
        default=None,
        description="What becomes of a table whose columns are not those of the frame: strict (the "
        "default where a part of it is written), add_columns, widen, replace (the default where "
        "all of it is).",
    )
    rows_outside: str | None = Field(
        default=None,
        description="What becomes of rows that do not belong to the partition that they are "
        "written for: warn (the default), refuse, drop.",
    )

    @model_validator(mode="after")
    def _check_way(self) -> Self:
        self._way()
        return self

    @staticmethod
    @abstractmethod
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        """The handlers of the types that are stored and loaded, one for each type."""

    @staticmethod
    def default_load_type() -> type[Any] | None:
        """What an input without annotation is loaded as; `None` takes the only handler's type."""
        return None

    @abstractmethod
    def table_store(self) -> TableStore:
        """The tables, for one run or one step."""

    @abstractmethod
    def table_of(self, asset_key: AssetKey, metadata: Mapping[str, Any]) -> TableRef | None:
        """The table that an asset is stored in, as far as it is known before a run."""

    def create_io_manager(self, context: InitResourceContext) -> WarehouseIOManager:  # noqa: ARG002
        """The I/O manager for one run, or one step."""
        return WarehouseIOManager(
            name=self._name,
            store=self.table_store(),
            schema=self.schema_,
            handlers=self.type_handlers(),
            default_load_type=self.default_load_type(),
            way=self._way(),
        )

    @property
    def _name(self) -> str:
        return cast("str", type(self).__name__)

    def mode(self) -> str | None:
        """The write mode, where a warehouse knows one by another name, too."""
        return self.write_mode

    def _way(self) -> Way:
        said = {MODE: self.mode(), POLICY: self.schema_policy, OUTSIDE: self.rows_outside}
        # What an EnvVar says is not known before a run.
        known = {key: value for key, value in said.items() if not isinstance(value, EnvVar)}
        return Way.of(known, where=self._name)


class _Definition(IOManagerDefinition):
    """The form that takes its settings by `configured`; knows its tables once it has them."""

    factory: Callable[..., WarehouseIOManagerFactory]

    def copy_for_configured(
        self, description: str | None, config_schema: Any
    ) -> IOManagerDefinition:
        """What `configured` returns."""
        copy = _Definition(
            self.resource_fn, config_schema, description=description or self.description
        )
        copy.factory = self.factory
        return copy

    def table_of(self, asset_key: AssetKey, metadata: Mapping[str, Any]) -> TableRef | None:
        """The table that an asset is stored in; `None` if settings are left to the run."""
        try:
            settings = cast("Any", self.apply_config_mapping({"config": {}}))
            if not settings.success:
                return None
            made = self.factory(**settings.value["config"])
        except (DagsterConfigMappingFunctionError, ValueError):
            return None
        return made.table_of(asset_key, metadata)


def io_manager_definition(
    factory: type[WarehouseIOManagerFactory],
    type_handlers: Sequence[DbTypeHandler[Any]],
    default_load_type: type[Any] | None,
) -> IOManagerDefinition:
    """An I/O manager in the form that takes its settings by `configured`.

    Args:
        factory: The class whose fields are the settings.
        type_handlers: What it handles, in place of what the class says.
        default_load_type: Likewise.
    """

    @cache
    def handling() -> type[WarehouseIOManagerFactory]:
        return _handling(factory, type_handlers, default_load_type)

    def handled(**settings: Any) -> WarehouseIOManagerFactory:
        return handling()(**settings)

    def make(context: InitResourceContext) -> WarehouseIOManager:
        return handled(**context.resource_config).create_io_manager(context)

    definition = _Definition(
        make,
        cast("Any", LazyConfigSchema(factory.to_config_schema)),
        description=(factory.__doc__ or "").partition("\n")[0],
    )
    definition.factory = handled
    return definition


def _handling(
    factory: type[WarehouseIOManagerFactory],
    handlers: Sequence[DbTypeHandler[Any]],
    load_type: type[Any] | None,
) -> type[WarehouseIOManagerFactory]:
    def type_handlers() -> Sequence[DbTypeHandler[Any]]:
        return handlers

    def default_load_type() -> type[Any] | None:
        return load_type

    own = {
        "type_handlers": staticmethod(type_handlers),
        "default_load_type": staticmethod(default_load_type),
        "__module__": factory.__module__,
    }
    return type(cast("str", factory.__name__), (factory,), own)


def known(value: str | None) -> str | None:
    """A setting before a run: of an `EnvVar`, what it says now, if anything."""
    return value.get_value() if isinstance(value, EnvVar) else value
