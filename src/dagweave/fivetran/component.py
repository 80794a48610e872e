"""A Fivetran account as a component: a few lines of YAML in a `defs` folder.

Without `from __future__ import annotations`: Dagster reads the annotations of these classes.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from dagster import (
    AssetMaterialization,
    AssetSpec,
    Definitions,
    MaterializeResult,
    ResolutionContext,
    Resolver,
    Scaffolder,
    ScaffoldRequest,
)
from dagster.components import scaffold_component, scaffold_with
from dagster.components.resolved.base import resolve_fields
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver
from pydantic import BaseModel, Field

from dagweave.connector.component import (
    SelectorById,
    SelectorByName,
    SyncComponent,
    resolve_selector,
)
from dagweave.fivetran.models import FivetranConnector, FivetranConnectorTableProps
from dagweave.fivetran.resource import FivetranWorkspace
from dagweave.fivetran.sensors import build_fivetran_polling_sensor

if TYPE_CHECKING:
    from dagster import AssetExecutionContext


def _resolve_workspace(context: ResolutionContext, model: Any) -> FivetranWorkspace:
    return FivetranWorkspace(**resolve_fields(model, FivetranWorkspace, context))  # pyright: ignore[reportArgumentType] -- it takes any model


class FivetranScaffoldParams(BaseModel):
    """What `dg scaffold defs dagweave.fivetran.FivetranAccountComponent` may be told."""

    account_id: str | None = Field(default=None, description="The account.")


class FivetranAccountComponentScaffolder(Scaffolder[FivetranScaffoldParams]):
    """Writes the `defs.yaml` of a component, with the key and its secret from the environment."""

    @classmethod
    def get_scaffold_params(cls) -> type[FivetranScaffoldParams]:
        """Its parameters."""
        return FivetranScaffoldParams

    def scaffold(self, request: ScaffoldRequest[FivetranScaffoldParams]) -> None:
        """Write it."""
        workspace = {
            "account_id": request.params.account_id or "{{ env.FIVETRAN_ACCOUNT_ID }}",
            "api_key": "{{ env.FIVETRAN_API_KEY }}",
            "api_secret": "{{ env.FIVETRAN_API_SECRET }}",
        }
        scaffold_component(request, {"workspace": workspace})


@scaffold_with(FivetranAccountComponentScaffolder)
class FivetranAccountComponent(SyncComponent):
    """The connections of a Fivetran account as assets, each synced by a step of its own.

    In a subclass, `get_asset_spec` and `execute` say otherwise.

    Example:
        ```yaml
        type: dagweave.fivetran.FivetranAccountComponent
        attributes:
          workspace:
            account_id: acme
            api_key: "{{ env.FIVETRAN_API_KEY }}"
            api_secret: "{{ env.FIVETRAN_API_SECRET }}"
          connector_selector:
            by_name: [shop, salesforce_prod]
          polling_sensor: true
        ```
    """

    workspace: Annotated[
        FivetranWorkspace,
        Resolver(_resolve_workspace, description="The account: the fields of FivetranWorkspace."),
    ]
    connector_selector: Annotated[
        Callable[[FivetranConnector], bool] | None,
        Resolver(
            resolve_selector,
            model_field_type=str | SelectorByName | SelectorById,
            description="Which connections: by_name, by_id, or a function of a connection.",
        ),
    ] = None
    translation: (
        Annotated[
            TranslationFn[FivetranConnectorTableProps],
            TranslationFnResolver(template_vars_for_translation_fn=lambda data: {"props": data}),
        ]
        | None
    ) = Field(default=None, description="What each asset is, after `get_asset_spec`.")
    polling_sensor: Annotated[
        bool,
        Field(description="Whether a sensor reports the syncs that Fivetran runs by itself."),
    ] = False
    include_metadata: Annotated[
        list[Literal["column_metadata"]],
        Field(
            default_factory=list, description="What to add to each materialization: its columns."
        ),
    ]

    @property
    def workspace_resource(self) -> FivetranWorkspace:
        """The account."""
        return self.workspace

    @property
    def resource(self) -> FivetranWorkspace:
        """The account."""
        return self.workspace

    @property
    def selector(self) -> Callable[[FivetranConnector], bool] | None:
        """Which of its connections are wanted."""
        return self.connector_selector

    @property
    def translation_fn(self) -> Callable[[AssetSpec, Any], AssetSpec] | None:
        """What the YAML says of each asset."""
        return self.translation

    def execute(
        self, context: "AssetExecutionContext", fivetran: FivetranWorkspace
    ) -> Iterable[AssetMaterialization | MaterializeResult[Any]]:
        """Sync one connection, and say what came out. Override it to do more, or otherwise."""
        events = fivetran.sync_and_poll(context=context)
        if "column_metadata" in self.include_metadata:
            events = events.fetch_column_metadata()
        yield from events

    def run_step(self, context: "AssetExecutionContext") -> Iterable[Any]:
        """Call `execute`."""
        return self.execute(context=context, fivetran=self.workspace.resolved())

    def more_definitions(self) -> Definitions:
        """The sensor, if it is wanted."""
        if not self.polling_sensor:
            return Definitions()
        sensor = build_fivetran_polling_sensor(
            workspace=self.workspace,
            dagster_fivetran_translator=self.translator,
            connector_selector_fn=self.connector_selector,
        )
        return Definitions(sensors=[sensor])
