"""Give each step a working folder of its own.

dlt keeps what it has extracted, its schemas and its state in a folder per pipeline name. Two runs
of one name on one host delete each other's, and a package that failed comes back with the next
run. So each step gets a folder, and dlt restores state and schemas from the destination. Only what
a step had begun to load outlives it: its next attempt goes on there, so that no row comes twice.
"""

from __future__ import annotations

import copy
import hashlib
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagweave._kernel.errors import InvalidInput, Refused
from dagweave.dlt.errors import dlt_errors
from dagweave.dlt.held_folder import HeldFolder, hold_folder
from dagweave.dlt.source import destination_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from dlt import Pipeline

# Within the folder where the user's pipeline keeps its own, so on the disk meant for it.
_FOLDERS = ".dagweave"


def has_begun(pipeline: Pipeline) -> bool:
    """Whether rows of a package that is still to be loaded may be in the destination already."""
    return pipeline.has_pending_data and any(
        state != "new_jobs" or job.job_file_info.retry_count
        for load_id in pipeline.list_normalized_load_packages()
        for state, jobs in pipeline.get_load_package_info(load_id).jobs.items()
        for job in jobs
    )


@contextmanager
def own_folder(
    pipeline: Pipeline, step: str, *, say: Callable[[str], None], keep_failed: bool = False
) -> Generator[Pipeline]:
    """Within the block, a copy of `pipeline` that works in a folder of its own.

    A block that raises while a package is partly loaded leaves the folder to the next attempt at
    the same `step`, unless the destination refused the package.

    Where dlt cannot restore the state from the destination (`restore_from_destination` is off, the
    destination keeps none, or is named only at the run), another folder would lose the state of
    incremental loads. There the block gets `pipeline` itself.

    Args:
        say: Gets a line for the log that names a folder which stays.
        keep_failed: Whether the folder outlives a block that raises.

    Raises:
        InvalidInput: There can be no folder where the pipeline has its own.
    """
    with dlt_errors(pipeline):
        restores = _restores(pipeline)
    if not restores:
        with _users_folder(pipeline):
            yield pipeline
        return
    folder = _hold(pipeline, step)
    twin: Pipeline | None = None
    try:
        with dlt_errors(pipeline):
            twin = _copy_in(folder.path, pipeline)
        yield twin
    except BaseException as error:
        if twin and _can_go_on(twin, error):
            say(f"The next attempt will go on with what this one had begun to load: {folder.path}")
            folder.leave()
        elif keep_failed and isinstance(error, Exception):
            say(f"Its working folder is kept: {folder.keep(f'{pipeline.pipeline_name}-failed-')}")
        else:
            folder.discard()
        raise
    else:
        folder.discard()
    finally:
        # What the user's code finds as the active pipeline is the user's again.
        pipeline.activate()


@contextmanager
def _users_folder(pipeline: Pipeline) -> Generator[None]:
    """Within the block, nothing waits in the pipeline's own folder but what was begun to load."""
    try:
        with dlt_errors(pipeline):
            if not has_begun(pipeline):
                _drop_pending(pipeline)
        yield
    except Refused:
        _drop_pending(pipeline)
        raise


def _can_go_on(pipeline: Pipeline, error: BaseException) -> bool:
    return not isinstance(error, Refused) and has_begun(pipeline)


def _hold(pipeline: Pipeline, step: str) -> HeldFolder:
    destination = pipeline.destination
    whose = (
        step,
        pipeline.dataset_name,
        destination.destination_type,
        destination.destination_name,
    )
    digest = hashlib.sha256(repr(whose).encode()).hexdigest()[:12]
    try:
        return hold_folder(
            Path(pipeline.pipelines_dir, _FOLDERS), f"{pipeline.pipeline_name}-{digest}"
        )
    except OSError as error:
        raise InvalidInput(
            f"dlt pipeline {pipeline.pipeline_name!r} got no working folder.",
            seen=f"{type(error).__name__}: {error}",
            remedy="Give it a folder that can be written and has locks: "
            "dlt.pipeline(..., pipelines_dir=...).",
        ) from error


def _restores(pipeline: Pipeline) -> bool:
    from dlt.common.destination.client import WithStateSync

    destination = destination_of(pipeline)
    return (
        destination is not None
        and bool(pipeline.config.restore_from_destination)
        and issubclass(destination.client_class, WithStateSync)
    )


def _drop_pending(pipeline: Pipeline) -> None:
    if not pipeline.has_pending_data:
        return
    if hasattr(pipeline, "abort_packages"):  # dlt 1.30 and later
        pipeline.abort_packages()
    else:
        pipeline.drop_pending_packages()


def _copy_in(folder: Path, pipeline: Pipeline) -> Pipeline:
    """A copy of `pipeline` in `folder`, where it finds nothing but what was begun to load."""
    working = folder / pipeline.pipeline_name
    if working.exists():
        twin = _copy(folder, pipeline)
        if has_begun(twin):
            return twin
        # Of what was killed earlier nothing is in the destination, nor is its state.
        shutil.rmtree(working)
    return _copy(folder, pipeline)


def _copy(folder: Path, pipeline: Pipeline) -> Pipeline:
    import dlt

    settings: dict[str, Any] = {
        "pipeline_name": pipeline.pipeline_name,
        "pipelines_dir": str(folder),
        "pipeline_salt": pipeline.pipeline_salt,
        # The same object: it knows where local files of the destination go.
        "destination": pipeline.destination,
        "staging": pipeline.staging,
        "dataset_name": pipeline.dataset_name,
        "import_schema_path": pipeline.schemas.config.import_schema_path,
        "export_schema_path": pipeline.schemas.config.export_schema_path,
        "refresh": pipeline.refresh,
        "progress": pipeline.collector,
    }
    twin = dlt.pipeline(**settings)
    # Shallow, since dlt's own copy forgets the run context.
    twin.config = copy.copy(pipeline.config)
    if twin.dataset_name != pipeline.dataset_name:
        # dlt applied its layout of dataset names a second time.
        with twin.managed_state():
            twin.dataset_name = pipeline.dataset_name
    return twin
