"""Run a pipeline in a working folder of its own.

dlt keeps what it has extracted, its schemas and its state in a folder per pipeline name. Two runs
of one name on one host delete each other's, and a package that failed comes back with the next
run. So each step gets a folder, and dlt restores state and schemas from the destination.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dagweave._kernel.clock import SYSTEM_CLOCK, Clock
from dagweave._kernel.wait import backoff, wait_for
from dagweave.dlt.errors import ONE_WRITER, FileLocked, dlt_errors
from dagweave.dlt.source import destination_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from dlt import Pipeline
    from dlt.common.pipeline import LoadInfo
    from dlt.extract import DltSource

# Within the folder where the user's pipeline keeps its own, so on the disk meant for it.
_FOLDERS = ".dagweave"


@dataclass(frozen=True, slots=True)
class Load:
    """What dlt says of a run.

    `info` is `None` if there was nothing to load; `rows` has the number of rows by table, if dlt
    counted.
    """

    info: LoadInfo | None
    rows: Mapping[str, int] | None


def load(
    pipeline: Pipeline,
    source: DltSource,
    options: Mapping[str, Any],
    *,
    say: Callable[[str], None],
    lock_timeout_s: float,
    clock: Clock = SYSTEM_CLOCK,
) -> Load:
    """Run `pipeline` on `source`. Waits while another process has the DuckDB file open.

    Args:
        say: Gets a line for the log when it waits.
        lock_timeout_s: Longest wait for a DuckDB file, in seconds.

    Raises:
        DagweaveError: as `dlt_errors` has it. Nothing that was loaded is to be reported then.
    """
    locked: list[FileLocked] = []
    rows: Mapping[str, int] | None = None

    def attempt() -> Load | None:
        nonlocal rows
        # What an earlier attempt extracted is loaded, not extracted again.
        data = None if pipeline.has_pending_data else source
        try:
            with dlt_errors(pipeline):
                info = cast("LoadInfo | None", pipeline.run(data, **options))
                if info is not None:
                    info.raise_on_failed_jobs()
        except FileLocked as error:
            if not locked:
                say(f"Waiting up to {lock_timeout_s:g} s for a DuckDB file. {error.seen}")
            locked[:] = [error]
            rows = _rows(pipeline, rows)
            return None
        return Load(info, _rows(pipeline, rows))

    return wait_for(
        attempt,
        what=f"the DuckDB file of dlt pipeline {pipeline.pipeline_name!r}",
        timeout_s=lock_timeout_s,
        pauses=backoff(0.2, cap_s=2.0),
        last_seen=lambda: str(locked[-1].seen),
        remedy=ONE_WRITER,
        clock=clock,
    )


def _rows(pipeline: Pipeline, before: Mapping[str, int] | None) -> Mapping[str, int] | None:
    """The rows that the last attempt normalized; those of the one `before`, if it did not."""
    trace = pipeline.last_trace
    normalized = trace.last_normalize_info if trace else None
    return dict(normalized.row_counts) if normalized else before


@contextmanager
def own_folder(pipeline: Pipeline, *, keep_failed: bool = False) -> Generator[Pipeline]:
    """Within the block, a copy of `pipeline` that works in a folder of its own.

    Where dlt cannot restore the state from the destination (`restore_from_destination` is off, the
    destination keeps none, or is named only at the run), that would lose the state of incremental
    loads. There the block gets `pipeline` itself, without the packages that failed earlier.

    Args:
        keep_failed: Whether the folder outlives a block that raises.
    """
    with dlt_errors(pipeline):
        restores = _restores(pipeline)
        if not restores:
            _drop_pending(pipeline)
    if not restores:
        yield pipeline
        return
    parent = Path(pipeline.pipelines_dir) / _FOLDERS
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{pipeline.pipeline_name}-", dir=parent))
    keep = False
    try:
        yield _copy_in(folder, pipeline)
    except Exception:
        keep = keep_failed
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        # What the user's code finds as the active pipeline is the user's again.
        pipeline.activate()


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
