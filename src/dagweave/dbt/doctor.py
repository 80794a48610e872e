"""What of a dbt project Dagster will not see, or not as one expects, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from dagster import DagsterError

from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave.dbt import checks, defaults
from dagweave.dbt.surroundings import dbt_versions, newer_files, profile_troubles
from dagweave.dbt.translation import key_of, spec_of
from dagweave.dbt.translator import DagsterDbtTranslator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dagster import AssetKey, AssetSpec

    from dagweave.dbt.manifest import Manifest, Node
    from dagweave.dbt.subject import Subject

Severity = Literal["error", "warning", "note"]
"""It keeps the project from loading or running; it may surprise; it is how things are."""

_NO_ASSETS: Final = {
    "model": "ephemeral models: dbt puts them into what refers to them",
    "analysis": "analyses: dbt compiles them only",
    "operation": "hooks: they run with each command",
    "exposure": "exposures: nothing of dbt builds them",
    "metric": "metrics",
    "semantic_model": "semantic models",
    "saved_query": "saved queries",
    "function": "functions",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know of a project.

    `check` names the kind of finding, for machines; `about` the nodes or files.
    """

    check: str
    severity: Severity
    what: str
    about: Sequence[str] = ()
    remedy: str | None = None


def examine(subject: Subject) -> Iterator[Finding]:
    """All there is to know of a selection of a project, as the default translator sees it.

    Raises:
        InvalidInput: The selection cannot be read.
    """
    yield from _packages(subject)
    try:
        manifest = subject.manifest
    except DagweaveError as error:
        yield Finding("manifest", "error", error.what, _lines(error.seen), error.remedy)
        yield from _surroundings(subject, None)
        return
    yield from _surroundings(subject, manifest)
    yield from _age(subject)
    for sentence in subject.selected.unmatched:
        yield Finding("selection", "warning", f"The selection {sentence}")
    yield from _Examination(subject).findings()


def _lines(text: str | None) -> Sequence[str]:
    return (text or "").splitlines()


def _packages(subject: Subject) -> Iterator[Finding]:
    if subject.project.has_uninstalled_deps:
        yield Finding(
            "packages",
            "error",
            "The packages of the project are not installed.",
            remedy=f"cd {subject.project.project_dir} && dbt deps",
        )


def _surroundings(subject: Subject, manifest: Manifest | None) -> Iterator[Finding]:
    for severity, what, remedy in dbt_versions(manifest):
        yield Finding("dbt", severity, what, remedy=remedy)
    for severity, what, remedy in profile_troubles(subject.project, manifest):
        yield Finding("profile", severity, what, remedy=remedy)


def _age(subject: Subject) -> Iterator[Finding]:
    if files := newer_files(subject.project, subject.manifest):
        yield Finding(
            "age",
            "warning",
            f"{len(files)} file(s) changed after the manifest was made, which does not know them "
            "as they are now.",
            files,
            "Parse the project again: dbt parse",
        )


class _Examination:
    """What the default translator makes of what is selected."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._manifest = subject.manifest
        self._translator = DagsterDbtTranslator()
        self._nodes: dict[str, Node] = {
            id_: self._manifest.node(id_) for id_ in sorted(subject.selected.ids)
        }
        self._assets = {id_: node for id_, node in self._nodes.items() if node.is_asset}
        parents = {up for id_ in self._assets for up in self._manifest.asset_parents(id_)}
        self._sources = sorted(parents & set(self._manifest.ids("sources")))

    def findings(self) -> Iterator[Finding]:
        yield from self._refused_assets()
        yield from self._shared_keys()
        yield from self._refused_tags()
        yield from self._tests()
        yield from self._tables()
        yield from self._disabled()
        yield from self._not_assets()

    def _refused_assets(self) -> Iterator[Finding]:
        for id_ in self._assets:
            try:
                self._spec(id_)
            except (DagsterError, InvalidInput) as error:
                yield Finding("asset", "error", f"{id_} cannot be an asset: {error}", [id_])

    def _spec(self, id_: str) -> AssetSpec:
        return spec_of(self._translator, self._manifest, id_, self._subject.project)

    def _key(self, id_: str) -> AssetKey:
        return key_of(self._translator, self._manifest, id_, self._subject.project)

    def _shared_keys(self) -> Iterator[Finding]:
        by_key: defaultdict[AssetKey, list[str]] = defaultdict(list)
        for id_ in dict.fromkeys([*self._assets, *self._sources]):
            by_key[self._key(id_)].append(id_)
        for key, ids in by_key.items():
            if len(ids) > 1:
                yield Finding(
                    "shared-key",
                    "error",
                    f"{len(ids)} nodes have the asset key {key.to_user_string()}.",
                    [f"{id_} ({self._manifest.node(id_).original_file_path})" for id_ in ids],
                    "Give each its own: meta.dagster.asset_key in YAML, or get_asset_key in a "
                    "translator. (Sources may share one: enable_duplicate_source_asset_keys.)",
                )

    def _refused_tags(self) -> Iterator[Finding]:
        refused: defaultdict[str, list[str]] = defaultdict(list)
        for id_, node in self._assets.items():
            for tag in sorted(set(node.all_tags) - defaults.tags(node).keys()):
                refused[tag].append(id_)
        for tag, ids in refused.items():
            yield Finding(
                "tag",
                "warning",
                f"Dagster refuses the tag {tag!r}: it is left out.",
                ids,
                "A tag is of up to 63 letters, digits, '_', '-' and '.'.",
            )

    def _tests(self) -> Iterator[Finding]:
        reasons: defaultdict[tuple[str, str | None], list[str]] = defaultdict(list)
        for id_, node in self._nodes.items():
            if node.resource_type in checks.TEST_TYPES and not self._is_check(id_, node):
                reasons[self._why_no_check(id_)].append(id_)
        for (reason, remedy), ids in reasons.items():
            what = f"{len(ids)} test(s) are no asset checks: {reason}"
            yield Finding("no-check", "warning", what, ids, remedy)

    def _is_check(self, id_: str, node: Node) -> bool:
        """Whether the test is a check on an asset of the selection: what a definition asks."""
        return any(
            self._translator.get_asset_check_spec(
                self._spec(parent), self._manifest, id_, self._subject.project
            )
            for parent in node.parents
            if parent in self._assets
        )

    def _why_no_check(self, id_: str) -> tuple[str, str | None]:
        tested = checks.tested_node(self._manifest, id_)
        if tested is None:
            return (
                "they have several parents. They run, and what they find is observed on each.",
                "Name the one that a test is about in its meta.dagster.ref: {name: orders}",
            )
        node = self._manifest.node(tested)
        if node.resource_type == "source":
            return (
                "they test sources.",
                "DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True)",
            )
        if not node.is_asset:
            return "they test ephemeral models, which are no assets.", None
        return "the models that they test are not selected.", None

    def _tables(self) -> Iterator[Finding]:
        adapter = self._manifest.adapter_type
        nodes = ((id_, self._manifest.node(id_)) for id_ in self._sources)
        if without := [id_ for id_, node in nodes if defaults.table_of(node, adapter) is None]:
            yield Finding(
                "source",
                "warning",
                f"{len(without)} source(s) are no tables: nothing can be linked to them by table.",
                without,
                "Give the asset that makes it the key of the source, or the source "
                "meta.dagster.asset_key.",
            )

    def _disabled(self) -> Iterator[Finding]:
        disabled: Mapping[str, object] = self._manifest.get("disabled") or {}
        ours = [id_ for id_ in sorted(disabled) if id_ not in self._nodes]
        if ours:
            what = f"{len(ours)} node(s) are disabled: dbt itself leaves them out."
            yield Finding("disabled", "note", what, ours)

    def _not_assets(self) -> Iterator[Finding]:
        kinds = Counter(
            node.resource_type
            for node in self._nodes.values()
            if node.resource_type in _NO_ASSETS and not node.is_asset
        )
        for kind, count in kinds.items():
            ids = [
                id_
                for id_, node in self._nodes.items()
                if node.resource_type == kind and not node.is_asset
            ]
            yield Finding("no-asset", "note", f"No assets: {count} {_NO_ASSETS[kind]}.", ids)
