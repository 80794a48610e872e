"""Say what asset a dlt resource becomes."""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagster import AssetKey, AssetSpec

from dagweave._dagster.metadata import STORAGE_KIND
from dagweave._kernel.errors import InvalidInput
from dagweave.dlt.source import description_of, destination_of, origin_of, storage_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dagster import AutomationCondition
    from dlt import Pipeline
    from dlt.common.destination.reference import AnyDestination
    from dlt.extract import DltResource

    from dagweave.dlt.outline import DestinationOutline, PipelineOutline, ResourceOutline
    from dagweave.weaving import TableRef


@dataclass(frozen=True, slots=True)
class DltResourceTranslatorData:
    """What a translator is told about one resource.

    `name` is the one given to `@dlt_assets`, `table` where the resource's rows will be stored;
    both are `None` where they are not known. Of a source given as a function, `resource` is what the
    inventory knows of it, and of a pipeline given so, `pipeline`: name, table name, hints, parent.
    """

    resource: DltResource | ResourceOutline
    pipeline: Pipeline | PipelineOutline | None
    name: str | None = None
    table: TableRef | None = None

    @property
    def destination(self) -> AnyDestination | DestinationOutline | None:
        """The destination of the pipeline."""
        return destination_of(self.pipeline) if self.pipeline else None


# The older hooks are told the resource alone. What their defaults need beside it is here while
# `get_asset_spec` runs, so that an override may call `super()`.
_TRANSLATED: ContextVar[DltResourceTranslatorData | None] = ContextVar("_TRANSLATED", default=None)


class DagsterDltTranslator:
    """Make an asset spec of each dlt resource. Override `get_asset_spec` to change it.

    The methods that give one attribute each are honoured where they are overridden, too. They are
    what older translators have.

    Example:
        ```python
        from dagster import AssetSpec
        from dagweave.dlt import DagsterDltTranslator, DltResourceTranslatorData

        class InLayers(DagsterDltTranslator):
            def get_asset_spec(self, data: DltResourceTranslatorData) -> AssetSpec:
                spec = super().get_asset_spec(data)
                return spec.replace_attributes(key=spec.key.with_prefix("raw"))
        ```
    """

    def get_asset_spec(self, data: DltResourceTranslatorData) -> AssetSpec:
        """The asset of one resource. Called once per resource, when definitions load.

        The key is `name/resource`, or `dataset/resource` where `@dlt_assets` got no name. The
        metadata say which table it is, so that `dagweave.weaving.weave` finds it.
        """
        token = _TRANSLATED.set(data)
        try:
            resource = data.resource
            key = self.get_asset_key(resource)
            kind = storage_kind(data.destination)
            table = data.table.to_metadata() if data.table else {}
            return AssetSpec(
                key=key,
                # A resource named as its source's table would else depend on itself.
                deps=[dep for dep in self.get_deps_asset_keys(resource) if dep != key],
                description=self.get_description(resource),
                group_name=self.get_group_name(resource),
                metadata={
                    **({STORAGE_KIND: kind} if kind else {}),
                    **table,
                    **self.get_metadata(resource),
                },
                owners=self.get_owners(resource),
                tags=self.get_tags(resource),
                kinds=self.get_kinds(resource, data.destination),
                automation_condition=self.get_automation_condition(resource),
            )
        finally:
            _TRANSLATED.reset(token)

    def get_asset_key(self, resource: DltResource | ResourceOutline) -> AssetKey:
        """`name/resource`, or `dataset/resource` where there is no name."""
        data = _TRANSLATED.get()
        return AssetKey(
            [valid_part(_prefix(data) or resource.source_name), valid_part(resource.name)]
        )

    def get_deps_asset_keys(self, resource: DltResource | ResourceOutline) -> Iterable[AssetKey]:
        """What the data comes from: `source_resource`, one component, which nobody materializes.

        That of a transformer is the one of the resource that its chain starts with.
        """
        return [AssetKey(valid_part(f"{resource.source_name}_{origin_of(resource)}"))]

    def get_description(self, resource: DltResource | ResourceOutline) -> str | None:
        """The docstring of the resource's function."""
        return description_of(resource)

    def get_group_name(self, resource: DltResource | ResourceOutline) -> str | None:  # noqa: ARG002 -- a hook
        """None: `@dlt_assets` says it for all."""
        return None

    def get_metadata(self, resource: DltResource | ResourceOutline) -> Mapping[str, Any]:  # noqa: ARG002 -- a hook
        """Metadata beside the table's, or instead of it."""
        return {}

    def get_owners(self, resource: DltResource | ResourceOutline) -> Sequence[str] | None:  # noqa: ARG002 -- a hook
        """None."""
        return None

    def get_tags(self, resource: DltResource | ResourceOutline) -> Mapping[str, str]:  # noqa: ARG002 -- a hook
        """None."""
        return {}

    def get_kinds(
        self,
        resource: DltResource | ResourceOutline,  # noqa: ARG002 -- a hook
        destination: AnyDestination | DestinationOutline | None,
    ) -> set[str]:
        """`dlt`, and the type of the destination."""
        kind = storage_kind(destination)
        return {"dlt", kind} if kind else {"dlt"}

    def get_automation_condition(
        self,
        resource: DltResource | ResourceOutline,  # noqa: ARG002 -- a hook
    ) -> AutomationCondition[Any] | None:
        """None."""
        return None


class OfficialKeysDltTranslator(DagsterDltTranslator):
    """Keeps the default keys of `dagster-dlt`, `dlt_<source>_<resource>` in one component.

    For those who migrate and want to keep the history of their assets.
    """

    def get_asset_key(self, resource: DltResource | ResourceOutline) -> AssetKey:
        """`dlt_<source>_<resource>`."""
        return AssetKey(f"dlt_{resource.source_name}_{resource.name}")


def checked_translator(given: object) -> DagsterDltTranslator:
    """Return `given`, or the default translator in its absence.

    Raises:
        InvalidInput: It is no translator, or the class of one.
    """
    if given is None:
        return DagsterDltTranslator()
    if isinstance(given, DagsterDltTranslator):
        return given
    forgotten = isinstance(given, type) and issubclass(given, DagsterDltTranslator)
    raise InvalidInput(
        f"{given!r} was given as dagster_dlt_translator, and is not a DagsterDltTranslator.",
        remedy="Pass an instance of it, not the class: add parentheses."
        if forgotten
        else "Pass an instance of a subclass of DagsterDltTranslator.",
    )


def valid_part(part: str) -> str:
    """The part of a key, without what Dagster takes in no name of a step's input or output."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", part)


def _prefix(data: DltResourceTranslatorData | None) -> str | None:
    if data is None or data.name or data.pipeline is None:
        return data.name if data else None
    # In `dev_mode`, dlt makes up a new dataset name each time that definitions load.
    steady = None if data.pipeline.dev_mode else data.pipeline.dataset_name
    return steady or data.pipeline.pipeline_name
