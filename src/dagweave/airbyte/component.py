"""An Airbyte workspace as a component: a few lines of YAML in a `defs` folder.

Without `from __future__ import annotations`: Dagster reads the annotations of these classes.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

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
from dagster.components import Model, Resolvable, scaffold_component, scaffold_with
from dagster.components.resolved.base import resolve_fields
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver
from pydantic import BaseModel, Field, create_model

from dagweave.airbyte.models import AirbyteConnection, AirbyteConnectionTableProps
from dagweave.airbyte.resource import AirbyteCloudWorkspace, AirbyteWorkspace
from dagweave.airbyte.sensors import build_airbyte_polling_sensor
from dagweave.connector.component import (
    SelectorById,
    SelectorByName,
    SyncComponent,
    resolve_selector,
)

if TYPE_CHECKING:
    from dagster import AssetExecutionContext


def _model_of(workspace: type[AirbyteWorkspace | AirbyteCloudWorkspace]) -> Any:
    """The fields of a resource, as those of a model for YAML."""
    fields: dict[str, Any] = {
        name: (field.annotation, field) for name, field in workspace.model_fields.items()
    }
    bases: Any = (Model, Resolvable)
    return create_model(f"{workspace.__name__}Model", __base__=bases, **fields)


_AtHome = _model_of(AirbyteWorkspace)
_InTheCloud = _model_of(AirbyteCloudWorkspace)


def _resolve_workspace(
    context: ResolutionContext, model: Any
) -> AirbyteWorkspace | AirbyteCloudWorkspace:
    """One that says where its API is, is at home."""
    if isinstance(model, _AtHome):
        return AirbyteWorkspace(**resolve_fields(model, _AtHome, context))
    return AirbyteCloudWorkspace(**resolve_fields(model, _InTheCloud, context))


class AirbyteScaffoldParams(BaseModel):
    """What `dg scaffold defs dagweave.airbyte.AirbyteWorkspaceComponent` may be told."""

    workspace_id: str | None = Field(default=None, description="The workspace.")


class AirbyteWorkspaceComponentScaffolder(Scaffolder[AirbyteScaffoldParams]):
    """Writes the `defs.yaml` of a component, with the credentials from the environment."""

    @classmethod
    def get_scaffold_params(cls) -> type[AirbyteScaffoldParams]:
        """Its parameters."""
        return AirbyteScaffoldParams

    def scaffold(self, request: ScaffoldRequest[AirbyteScaffoldParams]) -> None:
        """Write it."""
        workspace = {
            "rest_api_base_url": "http://localhost:8000/api/public/v1",
            "configuration_api_base_url": "http://localhost:8000/api/v1",
            "workspace_id": request.params.workspace_id or "{{ env.AIRBYTE_WORKSPACE_ID }}",
            "client_id": "{{ env.AIRBYTE_CLIENT_ID }}",
            "client_secret": "{{ env.AIRBYTE_CLIENT_SECRET }}",
        }
        scaffold_component(request, {"workspace": workspace})


@scaffold_with(AirbyteWorkspaceComponentScaffolder)
class AirbyteWorkspaceComponent(SyncComponent):
    """The connections of an Airbyte workspace as assets, each synced by a step of its own.

    In a subclass, `get_asset_spec` and `execute` say otherwise.

    Example:
        ```yaml
        type: dagweave.airbyte.AirbyteWorkspaceComponent
        attributes:
          workspace:
            rest_api_base_url: http://localhost:8000/api/public/v1
            configuration_api_base_url: http://localhost:8000/api/v1
            workspace_id: "{{ env.AIRBYTE_WORKSPACE_ID }}"
            client_id: "{{ env.AIRBYTE_CLIENT_ID }}"
            client_secret: "{{ env.AIRBYTE_CLIENT_SECRET }}"
          connection_selector:
            by_name: [shop]
        ```
    """

    workspace: Annotated[
        AirbyteWorkspace | AirbyteCloudWorkspace,
        Resolver(
            _resolve_workspace,
            model_field_type=_AtHome | _InTheCloud,
            description="The workspace: the fields of AirbyteWorkspace, or of "
            "AirbyteCloudWorkspace.",
        ),
    ]
    connection_selector: Annotated[
        Callable[[AirbyteConnection], bool] | None,
        Resolver(
            resolve_selector,
            model_field_type=str | SelectorByName | SelectorById,
            description="Which connections: by_name, by_id, or a function of a connection.",
        ),
    ] = None
    translation: (
        Annotated[
            TranslationFn[AirbyteConnectionTableProps],
            TranslationFnResolver(template_vars_for_translation_fn=lambda data: {"props": data}),
        ]
        | None
    ) = Field(default=None, description="What each asset is, after `get_asset_spec`.")
    polling_sensor: Annotated[
        bool,
        Field(description="Whether a sensor reports the syncs that Airbyte runs by itself."),
    ] = False

    @property
    def resource(self) -> AirbyteWorkspace | AirbyteCloudWorkspace:
        """The workspace."""
        return self.workspace

    @property
    def selector(self) -> Callable[[AirbyteConnection], bool] | None:
        """Which of its connections are wanted."""
        return self.connection_selector

    @property
    def translation_fn(self) -> Callable[[AssetSpec, Any], AssetSpec] | None:
        """What the YAML says of each asset."""
        return self.translation

    def execute(
        self,
        context: "AssetExecutionContext",
        airbyte: AirbyteWorkspace | AirbyteCloudWorkspace,
    ) -> Iterable[AssetMaterialization | MaterializeResult[Any]]:
        """Sync one connection, and say what came out. Override it to do more, or otherwise."""
        yield from airbyte.sync_and_poll(context=context)

    def run_step(self, context: "AssetExecutionContext") -> Iterable[Any]:
        """Call `execute`."""
        return self.execute(context=context, airbyte=self.workspace.resolved())

    def more_definitions(self) -> Definitions:
        """The sensor, if it is wanted."""
        if not self.polling_sensor:
            return Definitions()
        sensor = build_airbyte_polling_sensor(
            workspace=self.workspace,
            dagster_airbyte_translator=self.translator,
            connection_selector_fn=self.connection_selector,
        )
        return Definitions(sensors=[sensor])
