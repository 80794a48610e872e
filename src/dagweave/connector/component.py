"""What the components of the vendors have in common.

Without `from __future__ import annotations`: Dagster reads the annotations of these classes.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
from dagster import AssetSpec, ComponentLoadContext, Definitions, ResolutionContext
from dagster.components import (
    DefsStateConfig,
    DefsStateConfigArgs,
    Model,
    Resolvable,
    ResolvedDefsStateConfig,
    StateBackedComponent,
)
from pydantic import BaseModel, Field

from dagweave._kernel.errors import InvalidInput
from dagweave.connector.assets import assets_of_workspace
from dagweave.connector.health import build_health_checks
from dagweave.connector.workspace import SyncWorkspace

if TYPE_CHECKING:
    from dagster import AssetExecutionContext


class SelectorByName(BaseModel):
    """Connections by their names."""

    by_name: list[str] = Field(description="The names of the connections.")


class SelectorById(BaseModel):
    """Connections by their ids."""

    by_id: list[str] = Field(description="The ids of the connections.")


def resolve_selector(context: ResolutionContext, model: Any) -> Callable[[Any], bool] | None:
    """A selection in YAML as a function of a connection.

    Raises:
        InvalidInput: It is neither a list of names or ids, nor a function.
    """
    value = cast("Any", context.resolve_value(model) if isinstance(model, str) else model)
    if isinstance(value, SelectorByName):
        names: frozenset[str] = frozenset(context.resolve_value(value.by_name, as_type=list[str]))
        return lambda connection: connection.name in names
    if isinstance(value, SelectorById):
        ids: frozenset[str] = frozenset(context.resolve_value(value.by_id, as_type=list[str]))
        return lambda connection: connection.id in ids
    if callable(value):
        return cast("Callable[[Any], bool]", value)
    raise InvalidInput(
        f"{value!r} selects no connections.",
        remedy="Write by_name or by_id with a list, or the name of a template variable that is a "
        "function of a connection.",
    )


class SyncComponent(StateBackedComponent, Model, Resolvable):
    """Connections of an account as assets. The components of the vendors are subclasses of it."""

    health_checks: Annotated[
        bool, Field(description="Whether each connection has a check that says if it is well.")
    ] = True
    defs_state: ResolvedDefsStateConfig = DefsStateConfigArgs.local_filesystem()

    @property
    def resource(self) -> SyncWorkspace:
        """The account."""
        raise NotImplementedError

    @property
    def selector(self) -> Callable[[Any], bool] | None:
        """Which of its connections are wanted."""
        raise NotImplementedError

    @property
    def translation_fn(self) -> Callable[[AssetSpec, Any], AssetSpec] | None:
        """What the YAML says of each asset, after `get_asset_spec`."""
        raise NotImplementedError

    def get_asset_spec(self, props: Any) -> AssetSpec:
        """The asset of one table. Override it to say otherwise; `translation` comes after it."""
        return self.resource.vendor.translator().get_asset_spec(props)

    def run_step(self, context: "AssetExecutionContext") -> Iterable[Any]:
        """Sync one connection, and say what came out."""
        raise NotImplementedError

    def more_definitions(self) -> Definitions:
        """What stands beside the assets: a sensor, say."""
        return Definitions()

    @cached_property
    def translator(self) -> Any:
        """What says what each table is: `get_asset_spec`, then `translation`."""
        return _ComponentTranslator(self)

    @property
    def defs_state_config(self) -> DefsStateConfig:
        """Where Dagster keeps the snapshot."""
        key = f"{type(self).__name__}[{self.resource.resolved().account}]"
        return DefsStateConfig.from_args(self.defs_state, default_key=key)

    def write_state_to_path(self, state_path: Path) -> None:
        """Ask the account what there is, and keep it."""
        data = self.resource.resolved().service().snapshot()
        state_path.write_bytes(msgspec.json.encode(data))

    def build_defs_from_state(
        self,
        context: ComponentLoadContext,  # noqa: ARG002 -- the signature that Dagster calls
        state_path: Path | None,
    ) -> Definitions:
        """The definitions of the connections, as the snapshot has them."""
        if state_path is None:
            return Definitions()
        self.resource.hold(self._read(state_path))
        assets = assets_of_workspace(
            self.resource,
            translator=self.translator,
            selector=self.selector,
            execute=lambda step: iter(self.run_step(step)),
        )
        specs = [spec for definition in assets for spec in definition.specs]
        checks = build_health_checks(self.resource, specs=specs) if self.health_checks else ()
        return Definitions.merge(
            Definitions(assets=assets, asset_checks=checks), self.more_definitions()
        )

    def _read(self, state_path: Path) -> Any:
        vendor = self.resource.vendor
        try:
            return msgspec.json.decode(state_path.read_bytes(), type=vendor.data)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"The state of {type(self).__name__} cannot be read: {state_path}",
                seen=f"{type(error).__name__}: {error}",
                remedy="It may be of another version, or of the official component. Make it anew: "
                "dg utils refresh-defs-state",
            ) from error


class _ComponentTranslator:
    def __init__(self, component: SyncComponent) -> None:
        self._component = component

    def get_asset_spec(self, props: Any) -> AssetSpec:
        spec = self._component.get_asset_spec(props)
        translation = self._component.translation_fn
        return translation(spec, props) if translation else spec
