"""A dbt project as a component: a few lines of YAML in a `defs` folder.

Without `from __future__ import annotations`: Dagster reads the annotations of these classes.
"""

import json
import os
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from dagster import (
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    ComponentLoadContext,
    Config,
    Definitions,
    ResolutionContext,
    Resolvable,
    Resolver,
    Scaffolder,
    ScaffoldRequest,
    StateBackedComponent,
    get_dagster_logger,
)
from dagster.components import (
    DefsStateConfig,
    DefsStateConfigArgs,
    Model,
    scaffold_component,
    scaffold_with,
)
from dagster.components.resolved.core_models import OpSpec
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver
from pydantic import BaseModel, Field, create_model

from dagweave._kernel.errors import InvalidInput, Unavailable, WaitTimeout
from dagweave.dbt.assets import dbt_assets, models_named
from dagweave.dbt.manifest import Manifest
from dagweave.dbt.project import DbtProject
from dagweave.dbt.remote import DbtGitProject
from dagweave.dbt.resource import DbtCliResource
from dagweave.dbt.select import EVERYTHING
from dagweave.dbt.selection import DbtManifestAssetSelection
from dagweave.dbt.steps import split_dbt_assets
from dagweave.dbt.translation import key_of
from dagweave.dbt.translator import DagsterDbtTranslator, DagsterDbtTranslatorSettings
from dagweave.dbt.whereabouts import (
    DbtProjectArgs,
    Whereabouts,
    identity,
    project_at,
    resolve_project,
    store,
)

if TYPE_CHECKING:
    from dagweave.dbt.events import DbtDagsterEvent

_resolving: ContextVar[ResolutionContext] = ContextVar("resolving")
_NOT_IN_A_NAME = re.compile(r"\W+", re.ASCII)


def _settings(**said: Any) -> DagsterDbtTranslatorSettings:
    return DagsterDbtTranslatorSettings(**{"enable_code_references": True, **said})


def _resolve_settings(context: ResolutionContext, model: Any) -> DagsterDbtTranslatorSettings:
    said = model.model_dump(exclude_unset=True) if isinstance(model, BaseModel) else model
    return _settings(**context.resolve_value(said))


_SETTINGS: dict[str, Any] = {
    each.name: (bool | str, each.default) for each in fields(DagsterDbtTranslatorSettings)
}
_SettingsModel = create_model("DagsterDbtTranslatorSettingsModel", __base__=Model, **_SETTINGS)


class DbtScaffoldParams(BaseModel):
    """What `dg scaffold defs dagweave.dbt.DbtProjectComponent` may be told."""

    project_path: str | None = Field(default=None, description="The folder of the dbt project.")


class DbtProjectComponentScaffolder(Scaffolder[DbtScaffoldParams]):
    """Writes the `defs.yaml` of a component."""

    @classmethod
    def get_scaffold_params(cls) -> type[DbtScaffoldParams]:
        """Its parameters."""
        return DbtScaffoldParams

    def scaffold(self, request: ScaffoldRequest[DbtScaffoldParams]) -> None:
        """Write it; the project's path is relative to the root of Dagster's project."""
        path = request.params.project_path
        if path is not None:
            relative = os.path.relpath(path, start=request.project_root or Path.cwd())
            path = f"{{{{ context.project_root }}}}/{relative}"
        scaffold_component(request, {"project": path})


@scaffold_with(DbtProjectComponentScaffolder)
@dataclass
class DbtProjectComponent(StateBackedComponent, Resolvable):
    """A dbt project as assets and checks, run by dbt.

    In a subclass, `get_asset_spec`, `get_asset_check_spec`, `get_cli_args`, `execute` and
    `op_config_schema` say otherwise.

    Example:
        ```yaml
        type: dagweave.dbt.DbtProjectComponent
        attributes:
          project: "{{ context.project_root }}/shop"
          select: "tag:nightly"
          include_metadata: [row_count]
        ```
    """

    project: Annotated[
        Whereabouts,
        Resolver(
            resolve_project,
            model_field_type=str | DbtProjectArgs.model() | DbtGitProject.model(),
            description="The folder of the dbt project, relative to this file; or the arguments of "
            "a DbtProject; or a git repository.",
            examples=[
                "{{ context.project_root }}/shop",
                {"project_dir": "../shop", "profile": "warehouse", "target": "prod"},
                {"repo_url": "https://github.com/dbt-labs/jaffle-shop", "target": "prod"},
            ],
        ),
    ]
    cli_args: Annotated[
        list[str | dict[str, Any]],
        Resolver.passthrough(
            description="The command of dbt, with its arguments; templates are read in each run, "
            "and know its partition. A mapping is an option, and its value, if it is a mapping, "
            "JSON.",
            examples=[["build", "--full-refresh", {"--vars": {"day": "{{ partition_key }}"}}]],
        ),
    ] = field(default_factory=lambda: ["build"])
    include_metadata: Annotated[
        list[Literal["row_count", "column_metadata"]],
        Resolver.default(
            description="What to add to what was built: its rows, its columns with their lineage.",
            examples=[["row_count", "column_metadata"]],
        ),
    ] = field(default_factory=list[Literal["row_count", "column_metadata"]])
    op: Annotated[
        OpSpec | None,
        Resolver.default(
            description="The name, tags, pool and backfill policy of the op. By default it is "
            "called as the project; a component with a part of it, with its own folder behind.",
            examples=[{"name": "shop", "backfill_policy": {"type": "single_run"}}],
        ),
    ] = None
    select: Annotated[
        str,
        Resolver.default(description="Which nodes, in dbt's language.", examples=["tag:nightly"]),
    ] = EVERYTHING
    exclude: Annotated[
        str, Resolver.default(description="Which nodes not.", examples=["tag:slow"])
    ] = ""
    selector: Annotated[
        str,
        Resolver.default(
            description="A YAML selector of the project, instead of select and exclude.",
            examples=["nightly"],
        ),
    ] = ""
    granularity: Annotated[
        Literal["model", "group"] | None,
        Resolver.default(
            description="Whether each model, or each group of dbt, is a step of its own, instead of "
            "all of them one.",
            examples=["model"],
        ),
    ] = None
    translation: Annotated[
        TranslationFn[Mapping[str, Any]] | None,
        TranslationFnResolver[Mapping[str, Any]](
            template_vars_for_translation_fn=lambda data: {"node": data}
        ),
    ] = None
    translation_settings: Annotated[
        DagsterDbtTranslatorSettings | None,
        Resolver(
            _resolve_settings,
            model_field_type=_SettingsModel,
            description="What of the project Dagster should show; with links to the code unless "
            "said otherwise.",
            examples=[{"enable_source_tests_as_checks": True}],
        ),
    ] = field(default_factory=_settings)
    prepare_if_dev: Annotated[
        bool,
        Resolver.default(description="Whether `dagster dev` and `dg` parse the project."),
    ] = True

    @property
    def op_config_schema(self) -> type[Config] | None:
        """The configuration that a run takes, read by `context.op_execution_context.op_config`."""
        return None

    @property
    def defs_state_config(self) -> DefsStateConfig:
        """Where `dg utils refresh-defs-state` keeps the project: beside the definitions."""
        args = DefsStateConfigArgs.local_filesystem()
        # Dagster wants a key of its own for each component.
        part = {
            "select": self.select if self.select != EVERYTHING else "",
            "exclude": self.exclude,
            "selector": self.selector,
            "op": self.op.name if self.op else None,
        }
        said = [identity(self.project), *(f"{name}={text}" for name, text in part.items() if text)]
        return DefsStateConfig.from_args(
            args.model_copy(update={"refresh_if_dev": self.prepare_if_dev}),
            default_key=f"DbtProjectComponent[{','.join(said)}]",
        )

    @cached_property
    def dbt_project(self) -> DbtProject:
        """The project. One that is fetched is there once the definitions are built.

        Raises:
            InvalidInput: It is not.
        """
        return project_at(self.project, None)

    @cached_property
    def translator(self) -> DagsterDbtTranslator:
        """What says what each node is: the methods of the component, then its `translation`."""
        return _ComponentTranslator(self, self.translation_settings)

    def get_resource_props(self, manifest: Mapping[str, Any], unique_id: str) -> Mapping[str, Any]:
        """The dictionary of a node, as the manifest has it."""
        return Manifest.of(manifest).props(unique_id)

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetSpec:
        """The asset of a node. Override it to say otherwise; `translation` comes after it."""
        return DagsterDbtTranslator.get_asset_spec(self.translator, manifest, unique_id, project)

    def get_asset_check_spec(
        self,
        asset_spec: AssetSpec,
        manifest: Mapping[str, Any],
        unique_id: str,
        project: DbtProject | None,
    ) -> AssetCheckSpec | None:
        """The check that a test is, if it is one. Override it to say otherwise."""
        return DagsterDbtTranslator.get_asset_check_spec(
            self.translator, asset_spec, manifest, unique_id, project
        )

    def get_asset_selection(self, select: str, exclude: str = "") -> DbtManifestAssetSelection:
        """The assets and checks of the project that an expression in dbt's language selects."""
        return DbtManifestAssetSelection.build(
            self.dbt_project.manifest_path,
            select,
            dagster_dbt_translator=self.translator,
            exclude=exclude,
            project=self.dbt_project,
        )

    def asset_key_for_model(self, model_name: str) -> AssetKey:
        """The asset key of the model, seed or snapshot of this name.

        Raises:
            InvalidInput: There is none; names the nearest.
        """
        manifest = Manifest.of(self.dbt_project.manifest_path)
        first = models_named(manifest, model_name)[0]
        return key_of(self.translator, manifest, first, self.dbt_project)

    def get_cli_args(self, context: AssetExecutionContext) -> list[str]:
        """The command of a run, with its arguments.

        Raises:
            InvalidInput: One of `cli_args` is a mapping of several options.
        """
        resolving = _resolving.get(None) or ResolutionContext.default()
        scope = resolving.with_scope(**_partition_of(context))
        said = scope.resolve_value(self.cli_args, as_type=list[str | dict[str, Any]])
        return [word for arg in said for word in _words(arg)]

    def execute(
        self, context: AssetExecutionContext, dbt: DbtCliResource
    ) -> "Iterator[DbtDagsterEvent]":
        """Run dbt, and say what came out. Override it to do more, or otherwise."""
        events = dbt.cli(self.get_cli_args(context), context=context).stream()
        if "row_count" in self.include_metadata:
            events = events.fetch_row_counts()
        if "column_metadata" in self.include_metadata:
            events = events.fetch_column_metadata()
        yield from events

    def write_state_to_path(self, state_path: Path) -> None:
        """Prepare the project, fetched anew if it comes from elsewhere, and keep it.

        Raises:
            DagweaveError: It cannot be fetched or parsed. What was kept before stays.
        """
        store(self.project, state_path)

    def build_defs(self, context: ComponentLoadContext) -> Definitions:
        """The definition of all that dbt builds of the selection, and its checks."""
        if isinstance(self.project, DbtProject):
            # What is on this machine needs no copy.
            if self.prepare_if_dev:
                self.project.prepare_if_dev()
            return self.build_defs_from_state(context, None)
        try:
            return super().build_defs(context)
        except (Unavailable, WaitTimeout) as error:
            return self._build_defs_of_before(context, error)

    def _build_defs_of_before(
        self, context: ComponentLoadContext, error: Unavailable | WaitTimeout
    ) -> Definitions:
        """What was fetched the last time, when it cannot be fetched now."""
        refresh, self.prepare_if_dev = self.prepare_if_dev, False
        try:
            defs = super().build_defs(context)
        except InvalidInput:
            raise error from None
        finally:
            self.prepare_if_dev = refresh
        get_dagster_logger().warning(f"{error}\nThe one fetched before is shown.")
        return defs

    def build_defs_from_state(
        self, context: ComponentLoadContext, state_path: Path | None
    ) -> Definitions:
        """The definition of the project, or of what was kept of it."""
        project = self.dbt_project = project_at(self.project, state_path)
        op = self.op or OpSpec()
        define = dbt_assets(
            manifest=project.manifest_path,
            select=self.select,
            exclude=self.exclude,
            selector=self.selector,
            name=op.name or self._op_name(context),
            dagster_dbt_translator=self.translator,
            backfill_policy=op.backfill_policy,
            op_tags=op.tags,
            project=project,
            pool=op.pool,
        )
        schema = self.op_config_schema

        def run(context_of_run: AssetExecutionContext) -> "Iterator[DbtDagsterEvent]":
            with _resolving_in(context.resolution_context):
                yield from self.execute(context=context_of_run, dbt=DbtCliResource(project))

        def plain(context: AssetExecutionContext) -> Iterator[Any]:
            yield from run(context)

        if schema is None:
            return Definitions(assets=self._steps(define(plain)))

        def configured(context: AssetExecutionContext, config: Config) -> Iterator[Any]:  # noqa: ARG001
            yield from run(context)

        # Dagster reads the schema there.
        configured.__annotations__["config"] = schema
        return Definitions(assets=self._steps(define(configured)))

    def _steps(self, whole: AssetsDefinition) -> Sequence[AssetsDefinition]:
        # Of a selection that matches nothing, there is nothing to split.
        if self.granularity is None or not whole.keys:
            return [whole]
        return split_dbt_assets(whole, per=self.granularity)

    def _op_name(self, context: ComponentLoadContext) -> str:
        """A name that no other component has: of one project, each may show a part."""
        parts = (self.select != EVERYTHING, self.exclude, self.selector, self.translation)
        name = self.dbt_project.name
        if not any(parts):
            return name
        place = context.component_path
        folder = os.path.relpath(place.file_path, context.defs_module_path)
        instance = f"_{place.instance_key}" if place.instance_key else ""
        suffix = _NOT_IN_A_NAME.sub("_", folder).strip("_")
        return f"{name}_{suffix}{instance}" if suffix or instance else name


class _ComponentTranslator(DagsterDbtTranslator):
    """Says of each node what a component says."""

    def __init__(
        self, component: DbtProjectComponent, settings: DagsterDbtTranslatorSettings | None
    ) -> None:
        super().__init__(settings)
        self.component = component

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetSpec:
        spec = self.component.get_asset_spec(manifest, unique_id, project)
        translation = self.component.translation
        if translation is None:
            return spec
        return translation(spec, self.component.get_resource_props(manifest, unique_id))

    def get_asset_check_spec(
        self,
        asset_spec: AssetSpec,
        manifest: Mapping[str, Any],
        unique_id: str,
        project: DbtProject | None,
    ) -> AssetCheckSpec | None:
        return self.component.get_asset_check_spec(asset_spec, manifest, unique_id, project)


@contextmanager
def _resolving_in(context: ResolutionContext) -> Generator[None]:
    """Within the block, templates know what they know in the component's YAML."""
    token = _resolving.set(context)
    try:
        yield
    finally:
        _resolving.reset(token)


def _partition_of(context: AssetExecutionContext) -> dict[str, Any]:
    """What templates of `cli_args` know of the run's partition; nothing, where it has none."""
    known: dict[str, Any] = dict.fromkeys(
        ("partition_key", "partition_key_range", "partition_time_window")
    )
    if context.has_partition_key:
        known["partition_key"] = context.partition_key
    if context.has_partition_key_range:
        known["partition_key_range"] = context.partition_key_range
    # Dagster has no way to ask whether there is one, and errors of many kinds.
    with suppress(Exception):
        known["partition_time_window"] = context.partition_time_window
    return known


def _words(arg: str | Mapping[str, Any]) -> list[str]:
    if not isinstance(arg, Mapping):
        return [str(arg)]
    if len(arg) != 1:
        raise InvalidInput(
            f"An argument of dbt is a word, or a mapping of one option to its value; not {arg}.",
            remedy="Write one mapping per option in cli_args.",
        )
    [(option, value)] = arg.items()
    return [option, json.dumps(value) if isinstance(value, Mapping) else str(value)]
