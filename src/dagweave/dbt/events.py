"""What dbt logs, and what each result is to Dagster."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetMaterialization,
    AssetObservation,
    MetadataValue,
    Output,
    get_dagster_logger,
)

from dagweave._kernel.errors import InvalidInput
from dagweave.dbt import checks, keys
from dagweave.dbt.manifest import ASSET_TYPES, Manifest
from dagweave.dbt.origin import Origin
from dagweave.dbt.retry import BUILT_IN_RUN, first_to_tell
from dagweave.dbt.scope import Scope
from dagweave.dbt.translator import DagsterDbtTranslator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from dagster import AssetExecutionContext, AssetKey, OpExecutionContext

    from dagweave.dbt.invocation import DbtCliInvocation
    from dagweave.dbt.manifest import ManifestSource
    from dagweave.dbt.project import DbtProject

    DbtDagsterEvent: TypeAlias = (
        Output[None]
        | AssetMaterialization
        | AssetObservation
        | AssetCheckResult
        | AssetCheckEvaluation
    )

RESULT_EVENT: Final = "RunResultEvent"
"""The type of the one event that carries a node's result, whichever engine it comes from."""

# The events of dbt-core with which a node ends. Tests include unit tests; LogBatchResult is left
# out, since a batch is a part of a node. https://docs.getdbt.com/reference/events-logging
_RESULTS_OF_CORE: Final = frozenset(
    {
        "LogFreshnessResult",
        "LogFunctionResult",
        "LogModelResult",
        "LogNodeNoOpResult",
        "LogNodeResult",
        "LogSeedResult",
        "LogSnapshotResult",
        "LogTestResult",
    }
)
_RESULT_OF_FUSION: Final = "NodeFinished"

# A node that ended so is there and up to date. For tests, `warn` means something else.
_BUILT: Final = frozenset({"success", "no-op", "reused", "warn"})


class DbtCliEventMessage:
    """One event that dbt logged.

    `raw_event` is the event as dbt wrote it; of one that carries a node's result,
    `raw_event["data"]["execution_time"]` is there whatever the engine, in seconds.
    """

    def __init__(
        self,
        raw_event: dict[str, Any],
        event_history_metadata: Mapping[str, Any] | None = None,
        *,
        is_result_event: bool | None = None,
        invocation: DbtCliInvocation | None = None,
    ) -> None:
        del event_history_metadata
        if is_result_event is None:
            name = raw_event["info"].get("name")
            is_result_event = _node_id(raw_event) is not None and (
                name in _RESULTS_OF_CORE or name == _RESULT_OF_FUSION
            )
        self.raw_event = _completed(raw_event) if is_result_event else raw_event
        self.is_result_event = is_result_event
        self._invocation = invocation

    def __str__(self) -> str:
        return str(self.raw_event["info"].get("msg", ""))

    def __repr__(self) -> str:
        return f"<{self.event_type_value} {self.unique_id or str(self)!r}>"

    @property
    def event_type_value(self) -> str:
        """`RunResultEvent` for the one event that carries a node's result; else dbt's own name."""
        return RESULT_EVENT if self.is_result_event else str(self.raw_event["info"].get("name"))

    @property
    def unique_id(self) -> str | None:
        """The id of the node that the event is about, if it is about one."""
        return _node_id(self.raw_event)

    @property
    def status(self) -> str:
        """How the node stands: `success`, `pass`, `fail`, `error`, `warn`, `skipped`, ..."""
        return _status(self.raw_event["data"])

    def to_default_asset_events(
        self,
        manifest: ManifestSource | None = None,
        dagster_dbt_translator: DagsterDbtTranslator | None = None,
        context: OpExecutionContext | AssetExecutionContext | None = None,
        target_path: Path | None = None,
        project: DbtProject | None = None,
    ) -> Iterator[DbtDagsterEvent]:
        """What this event is to Dagster: nothing, unless it carries a node's result.

        In a step of `@dbt_assets`, an `Output` for what was built and an `AssetCheckResult` for a
        test that is a check; elsewhere an `AssetMaterialization` and an `AssetCheckEvaluation`. A
        test that is no check, or was not selected, is an `AssetObservation` on each of its parents.

        What is not given is taken from the command that the event comes from.

        Raises:
            InvalidInput: The event comes from no command, and no manifest is given.
        """
        del target_path
        command = self._invocation
        if command is not None and command.scope is not None:
            yield from _done_before(command.scope)
        if not self.is_result_event or self.unique_id is None:
            return
        if command is None or (context is not None and context is not command.context):
            scope = Scope.of(context)
            known = scope.origin if scope else None
        else:
            scope, known = command.scope, command.origin
        source = manifest or (known.manifest if known else None)
        if source is None:
            raise InvalidInput(
                "A result of dbt belongs to an asset only by a manifest, and none is known.",
                remedy="Give it: dbt.cli([...], manifest=my_project.manifest_path)",
            )
        translator = dagster_dbt_translator or (known.translator if known else None)
        yield from _Result(
            self,
            Origin(
                Manifest.of(source),
                translator or DagsterDbtTranslator(),
                project or (known.project if known else None),
            ),
            scope,
        ).events()


def _done_before(scope: Scope) -> Iterator[DbtDagsterEvent]:
    """What an earlier attempt of the step did, told again once, so that what is downstream runs."""
    if not scope.done.ids or not first_to_tell(scope.context):
        return
    for unique_id, then in scope.done.built.items():
        run = MetadataValue.dagster_run(then.run_id)
        metadata = {**then.event.metadata, BUILT_IN_RUN: run}
        yield Output(None, output_name=scope.outputs[unique_id], metadata=metadata)
    for check in scope.done.passed.values():
        yield AssetCheckResult(
            asset_key=check.asset_key,
            check_name=check.check_name,
            passed=check.passed,
            severity=check.severity,
            description=check.description,
            metadata=check.metadata,
        )


class _Result:
    """The result of a node on its way to Dagster."""

    def __init__(
        self,
        event: DbtCliEventMessage,
        origin: Origin,
        scope: Scope | None,
    ) -> None:
        self._event = event
        self._id = event.unique_id or ""
        self._origin = origin
        self._manifest = origin.manifest
        self._scope = scope

    def events(self) -> Iterator[DbtDagsterEvent]:
        kind = self._id.partition(".")[0]
        is_test = kind in checks.TEST_TYPES
        if kind not in ASSET_TYPES and not is_test:
            return
        if not self._manifest.has_node(self._id):
            get_dagster_logger().warning(
                f"dbt ran {self._id}, which is not in {self._manifest}: the project has changed "
                "since. Load the code location again."
            )
        elif is_test:
            if self._event.status != "skipped":
                yield from self._of_test()
        elif self._manifest.node(self._id).is_asset and self._event.status in _BUILT:
            yield self._of_asset()

    def _of_asset(self) -> DbtDagsterEvent:
        output = self._scope.to_build.get(self._id) if self._scope else None
        if output is not None:
            return Output(None, output_name=output, metadata=self._metadata())
        # Built, though the step was not asked to.
        return AssetMaterialization(self._key(self._id), metadata=self._metadata())

    def _of_test(self) -> Iterator[DbtDagsterEvent]:
        status = self._event.status
        passed = status in ("pass", "success")
        severity = AssetCheckSeverity.WARN if status == "warn" else AssetCheckSeverity.ERROR
        if self._scope is not None and self._id in self._scope.done.passed:
            return
        check = self._scope.checks.get(self._id) if self._scope else None
        if check is not None:
            yield AssetCheckResult(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=passed,
                severity=severity,
                metadata=self._metadata(),
            )
            return
        tested = checks.tested_node(self._manifest, self._id)
        if self._scope is None and tested is not None:
            yield AssetCheckEvaluation(
                asset_key=self._key(tested),
                check_name=checks.check_name(self._manifest.node(self._id)),
                passed=passed,
                severity=severity,
                metadata=self._metadata(),
            )
            return
        yield from self._observations(tested)

    def _observations(self, tested: str | None) -> Iterator[AssetObservation]:
        message = None
        if self._origin.translator.settings.enable_asset_checks:
            name = self._manifest.node(self._id).name
            message = f"The dbt test {name} is no asset check: {self._why_no_check(tested)}."
            get_dagster_logger().warning(message)
        for parent in self._manifest.asset_parents(self._id):
            yield AssetObservation(
                self._key(parent), metadata=self._metadata(), description=message
            )

    def _why_no_check(self, tested: str | None) -> str:
        settings = self._origin.translator.settings
        if self._id.startswith("unit_test.") and not settings.enable_unit_tests_as_checks:
            return "it is a unit test; the setting enable_unit_tests_as_checks makes it one"
        if tested is None:
            return "it has several parents; name the one it is about in its meta.dagster.ref"
        if self._manifest.node(tested).resource_type == "source":
            return "it tests a source; the setting enable_source_tests_as_checks makes it one"
        return "it was not selected in Dagster, and dbt ran it along with what was"

    def _key(self, unique_id: str) -> AssetKey:
        known = self._scope.key(unique_id) if self._scope else None
        return known or self._origin.key(unique_id)

    def _metadata(self) -> dict[str, Any]:
        data = self._event.raw_event["data"]
        failed = data.get("num_failures")
        return {
            "unique_id": self._id,
            "invocation_id": self._event.raw_event["info"].get("invocation_id") or "",
            "Execution Duration": _duration_s(data),
            "status": self._event.status,
            **({keys.FAILED_ROW_COUNT: failed} if failed is not None else {}),
        }


class Results:
    """Tells the one event of each node that carries its result, in one command's output.

    dbt-core logs `NodeFinished` as well if it is asked for debug messages, and Fusion may log
    results of either name. What a node has said once it does not say again.
    """

    def __init__(self) -> None:
        self._is_fusion = False
        self._ids: set[str] = set()
        self.ended: set[str] = set()
        """The nodes that came to an end of their own, however it was; not those left out."""
        self.relations: dict[str, str] = {}
        """For each of them that is a table: its name, as dbt writes it."""

    def takes(self, raw_event: Mapping[str, Any]) -> bool:
        """Whether this event is the one."""
        info = raw_event["info"]
        name = info.get("name")
        if name == "MainReportVersion":
            version = str(raw_event["data"].get("version", "")).lstrip("=")
            self._is_fusion = version.partition(".")[0] not in ("", "0", "1")
        finished = name == _RESULT_OF_FUSION and (self._is_fusion or info.get("level") != "debug")
        node = _node_id(raw_event)
        if node is None or node in self._ids or not (name in _RESULTS_OF_CORE or finished):
            return False
        self._ids.add(node)
        node_info: Mapping[str, Any] = raw_event["data"]["node_info"]
        relation: Mapping[str, Any] = node_info.get("node_relation") or {}
        if _status(raw_event["data"]) != "skipped":
            self.ended.add(node)
        if table := relation.get("relation_name"):
            self.relations[node] = table
        return True


def _status(data: Mapping[str, Any]) -> str:
    # A unit test and a microbatch model leave the first one empty.
    node_info: Mapping[str, Any] = data.get("node_info") or {}
    told = node_info.get("node_status")
    told = told if told not in ("", "None", None) else data.get("status")
    # Fusion says it with the result alone.
    result: Mapping[str, Any] = data.get("run_result") or {}
    return str(told or result.get("status")).lower()


def _node_id(raw_event: Mapping[str, Any]) -> str | None:
    data: Mapping[str, Any] = raw_event.get("data") or {}
    node_info: Mapping[str, Any] = data.get("node_info") or {}
    return node_info.get("unique_id")


def _completed(raw_event: dict[str, Any]) -> dict[str, Any]:
    """A result event with what readers rely on, where its engine puts it elsewhere."""
    data: dict[str, Any] = raw_event["data"]
    result: dict[str, Any] = data.get("run_result") or {}
    told = {
        "status": result.get("status"),
        "execution_time": result.get("execution_time", _elapsed_s(data["node_info"]) or 0.0),
        "num_failures": result.get("failures", result.get("num_failures")),
    }
    missing = {name: value for name, value in told.items() if data.get(name) is None}
    return {**raw_event, "data": {**data, **missing}} if missing else raw_event


def _duration_s(data: Mapping[str, Any]) -> float:
    elapsed = _elapsed_s(data["node_info"])
    return elapsed if elapsed is not None else float(data.get("execution_time") or 0.0)


def _elapsed_s(node_info: Mapping[str, Any]) -> float | None:
    try:
        started, finished = (
            datetime.fromisoformat(node_info[f"node_{when}_at"]) for when in ("started", "finished")
        )
        return (finished - started).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None
