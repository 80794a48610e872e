"""Say in our words how dlt failed: which pipeline, step and resource, what was seen, what to do.

Secrets that dlt resolved are taken out of what is said, and out of dlt's own log.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dagster import DagsterExecutionInterruptedError

from dagweave._kernel.errors import (
    DagweaveError,
    InvalidInput,
    MissingExtra,
    Refused,
    Unavailable,
    WorkFailed,
)
from dagweave._kernel.redact import redact
from dagweave.weaving.duckdb_file import is_locked

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from dlt import Pipeline
    from dlt.common.configuration.exceptions import ConfigFieldMissingException

_SECRET_VARIABLE = re.compile(
    r"(PASSWORD|PASSPHRASE|SECRET|TOKEN|(API|ACCESS|ACCOUNT|PRIVATE)_?KEY)$", re.IGNORECASE
)
ONE_WRITER = (
    "DuckDB lets one process write a file at a time. Close the other one, or give all assets that "
    "write the file one pool with a limit of 1."
)
# Of another thread of this process, in the moment in which it lets go of a file.
_LETTING_GO = "Unique file handle conflict"
# Steps that can be taken up again: the first has done nothing yet, the other goes on where it was.
_REPEATABLE = frozenset({"sync", "load"})
_DOING = {
    "sync": "when it read its state from the destination; nothing was extracted",
    "extract": "when it extracted; nothing was loaded",
    "normalize": "when it normalized what it had extracted; nothing was loaded",
    "load": "when it loaded; no asset is reported as materialized",
}


_GOES_ON = (
    "What it extracted is kept if a part may be in the destination already: the next attempt of "
    "this step goes on from there. The log has the folder; delete it to start afresh."
)


class FileLocked(Unavailable):
    """Another process has the DuckDB file open; the run can be taken up again where it was."""


def secret_variables() -> list[str]:
    """The values of the environment variables whose names say that they are secret."""
    return [value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)]


@contextmanager
def dlt_errors(pipeline: Pipeline) -> Generator[None]:
    """Within the block, an error of dlt leaves as one of ours.

    Its cause is the root of the error (what the user's own code raised, say) with its traceback,
    unless its text holds a secret: then there is none.

    Raises:
        FileLocked: Another process writes the DuckDB file.
        InvalidInput: Configuration is missing; names the keys that dlt looked for.
        MissingExtra: The destination's library is not installed.
        Refused: The destination will not take the data, however often it is given.
        Unavailable: The destination could not be reached.
        WorkFailed: Anything else: a resource raised, or dlt gave up on a load.
    """
    from dlt.common.exceptions import DltException, SignalReceivedException

    secrets = list(_secrets_of(pipeline))
    with _redacted_log(secrets):
        try:
            yield
        # A destination's own library that is missing is a plain ImportError.
        except (DltException, ImportError, SignalReceivedException) as error:
            chain = list(_causes(error))
            # dlt holds signals back until its threads are done, then wraps them.
            if isinstance(chain[-1], SignalReceivedException):
                raise DagsterExecutionInterruptedError from None
            if isinstance(chain[-1], KeyboardInterrupt):
                raise chain[-1] from None
            ours = _in_our_words(pipeline, chain)
            leaks = any(redact(str(each), secrets) != str(each) for each in chain)
            if leaks:
                raise _without(secrets, ours) from None
            raise ours from chain[-1]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it wraps or was caused by, and so on to the root."""
    while error is not None:
        yield error
        inner = getattr(error, "exception", None) or getattr(error, "client_exception", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__


def _in_our_words(pipeline: Pipeline, chain: Sequence[BaseException]) -> DagweaveError:
    from dlt.common.configuration.exceptions import ConfigFieldMissingException
    from dlt.common.exceptions import MissingDependencyException
    from dlt.destinations.exceptions import DestinationConnectionError

    what = f"dlt pipeline {pipeline.pipeline_name!r}"
    for each in chain:
        if isinstance(each, ConfigFieldMissingException):
            return _missing_configuration(pipeline, what, each)
        if isinstance(each, MissingDependencyException):
            return _not_installed(f"{what} needs {each.caller}", each.dependencies)
    if isinstance(chain[-1], ImportError) and not any(hasattr(e, "pipe_name") for e in chain):
        kind = pipeline.destination.destination_type.rpartition(".")[2]
        return _not_installed(
            f"{what} needs {chain[-1].name} for its destination", [f"dlt[{kind}]"]
        )
    failed = f"{what} failed{_where(chain)}."
    seen = _seen(chain)
    step = getattr(chain[0], "step", None)
    if (is_locked(seen) or _LETTING_GO in seen) and step in _REPEATABLE:
        return FileLocked(failed, seen=seen, remedy=ONE_WRITER)
    if _is_refusal(chain):
        return Refused(failed, seen=seen, remedy=_remedy(chain))
    if any(isinstance(each, DestinationConnectionError) for each in chain):
        return Unavailable(
            failed, seen=seen, remedy="Check the destination's address, credentials and network."
        )
    return WorkFailed(failed, seen=seen, remedy=_GOES_ON if step == "load" else None)


def _is_refusal(chain: Sequence[BaseException]) -> bool:
    """Whether dlt says of a job that to run it again is in vain."""
    from dlt.common.destination.exceptions import DestinationHasFailedJobs
    from dlt.common.exceptions import TerminalException

    return any(
        isinstance(each, DestinationHasFailedJobs)
        or (isinstance(each, TerminalException) and hasattr(each, "job_id"))
        for each in chain
    )


def _not_installed(what: str, packages: Iterable[str]) -> MissingExtra:
    quoted = " ".join(f'"{package}"' for package in packages)
    return MissingExtra(
        f"{what}, which is not installed in this environment.",
        remedy=f"Install it: pip install {quoted}",
    )


def _where(chain: Sequence[BaseException]) -> str:
    """The step, and the resource or table, as far as the errors tell."""
    from dlt.common.exceptions import DltException

    where = ""
    for each in chain:
        if not isinstance(each, DltException):
            break
        if step := getattr(each, "step", None):
            where = f" {_DOING.get(step, f'in its step {step}')}"
        if resource := getattr(each, "pipe_name", None):
            return f"{where}; resource {resource!r}"
        if job := getattr(each, "job_id", None):
            return f"{where}; table {job.partition('.')[0]!r}"
    return where


def _seen(chain: Sequence[BaseException]) -> str:
    """The text of the root, which is dlt's or the other side's own; or of each failed job."""
    from dlt.common.destination.exceptions import DestinationHasFailedJobs

    for each in chain:
        if isinstance(each, DestinationHasFailedJobs):
            return "\n".join(
                f"{job.job_file_info.job_id()}: {job.failed_message}" for job in each.failed_jobs
            )
    return f"{type(chain[-1]).__name__}: {chain[-1]}"


def _remedy(chain: Sequence[BaseException]) -> str | None:
    """What to do about rows that the destination refused."""
    if any(getattr(each, "is_package_partially_loaded", False) for each in chain):
        return (
            "A part of the rows may be in the destination already. Run it again once the cause is "
            "mended; with write disposition 'append', remove that part first."
        )
    return None


def _missing_configuration(
    pipeline: Pipeline, what: str, error: ConfigFieldMissingException
) -> InvalidInput:
    from dlt.common.configuration.exceptions import flatten_traces

    # Each key is looked for twice: for this pipeline alone, then for all.
    for_one = f"{pipeline.pipeline_name.upper()}__"
    tried: dict[str, list[str]] = {}
    for nested in error.traces.values():
        for trace in flatten_traces(nested):
            if trace.provider == "Environment Variables" and not trace.key.startswith(for_one):
                field = trace.key.rpartition("__")[2].lower()
                tried.setdefault(field, []).append(trace.key)
    lines = [f"for {field!r}, any of {', '.join(keys)}" for field, keys in tried.items()]
    whole = [key for keys in tried.values() for key in keys if "__CREDENTIALS__" in key]
    return InvalidInput(
        f"{what} misses configuration ({error.spec_name}).",
        seen="None of these environment variables is set, and none of the same keys is in "
        ".dlt/secrets.toml or .dlt/config.toml:\n" + "\n".join(lines),
        remedy="Set one variable of each line."
        + (f" Or all in one, as a URL: {whole[0].rpartition('__')[0]}." if whole else ""),
    )


def _without(secrets: Sequence[str], error: DagweaveError) -> DagweaveError:
    seen = redact(error.seen, secrets) if error.seen else None
    remedy = error.remedy or "The full error is not shown, since it holds a secret."
    return type(error)(redact(error.what, secrets), seen=seen, remedy=redact(remedy, secrets))


def _secrets_of(pipeline: Pipeline) -> Iterator[str]:
    """The values that must not be seen: of variables named as secrets, and of the credentials."""
    from dlt.common.configuration.specs.base_configuration import (
        BaseConfiguration,
        is_secret_hint,
    )
    from dlt.common.exceptions import DltException

    yield from secret_variables()
    destinations = (pipeline.destination, pipeline.staging)
    for destination in filter(None, destinations):
        # What cannot be resolved is reported by the run itself.
        with suppress(DltException, ValueError):
            config = destination.configuration(destination.spec(), accept_partial=True)
            credentials = config.credentials
            if isinstance(credentials, BaseConfiguration):
                for name, hint in credentials.get_resolvable_fields().items():
                    value = credentials.get(name)
                    if isinstance(value, str) and is_secret_hint(hint):
                        yield value


@contextmanager
def _redacted_log(secrets: Sequence[str]) -> Generator[None]:
    """Within the block, dlt's own logger masks the secrets."""
    from dlt.common import logger

    def mask(record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage(), secrets), None
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info), secrets)
        return True

    log = logger.LOGGER or logging.getLogger("dlt")
    log.addFilter(mask)
    try:
        yield
    finally:
        log.removeFilter(mask)
