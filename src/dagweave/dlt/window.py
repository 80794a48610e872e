"""Let the partition of a step be the window of dlt's own incremental loads.

A `dlt.sources.incremental` whose cursor is a time then loads exactly what lies in the partition, in
whatever order partitions are run, and moves no state. Cursors of other types are left alone.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from dlt.extract import DltResource, DltSource
    from dlt.extract.incremental import Incremental, IncrementalResourceWrapper

Window = tuple[datetime, datetime]

# dlt keeps the incremental that runs in the resource, which threads may share.
_ONE_AT_A_TIME: Final = RLock()


@contextmanager
def within(window: Window | None) -> Generator[None]:
    """Within the block, dlt knows of a time window; nothing is loaded by it yet.

    A dlt that is too old to take one goes without.
    """
    if window is None:
        yield
        return
    try:
        from dlt.extract.incremental.context import TimeIntervalContext
    except ImportError:
        yield
        return
    from dlt.common.configuration.container import Container

    with Container().injectable_context(TimeIntervalContext(interval=window)):
        yield


@contextmanager
def windowed(
    source: DltSource, window: Window | None, say: Callable[[str], None]
) -> Generator[DltSource]:
    """Within the block, a copy of `source` whose incremental loads are those of the window.

    What dlt notes in the resources while they run is gone afterwards, so that the next window of the
    same source does not begin with the last one's.

    Args:
        say: Gets a line for the log where a window cannot be applied, or loads rows twice.
    """
    if window is None or not any(each.incremental for each in source.selected_resources.values()):
        yield source
        return
    with _ONE_AT_A_TIME, within(window), ExitStack() as restored:
        copy = source.with_resources(*source.selected_resources)
        # dlt may bind an incremental more than once.
        say_once = functools.cache(say)
        for resource in copy.resources.values():
            restored.enter_context(_joining(resource, say_once))
        yield copy


@contextmanager
def _joining(resource: DltResource, say: Callable[[str], None]) -> Generator[None]:
    from dlt.extract.incremental import Incremental, IncrementalResourceWrapper

    step: Any = resource.incremental
    if isinstance(step, Incremental):
        step = cast("Incremental[Any]", step)
        own: Incremental[Any] = step.copy()
        if _join(resource, own, say):
            # The resource is a copy, too. dlt takes what is among its hints.
            resource.apply_hints(incremental=own)
        yield
    elif isinstance(step, IncrementalResourceWrapper):
        with _wrapper_joining(resource, step, say):
            yield
    else:
        yield


@contextmanager
def _wrapper_joining(
    resource: DltResource, wrapper: IncrementalResourceWrapper, say: Callable[[str], None]
) -> Generator[None]:
    """The incremental of a function's argument is known only when the function is called.

    So it is looked at when dlt binds it. The wrapper itself is the user's: it is shared by copies
    of the resource.
    """
    before = dict(vars(wrapper))
    bind = wrapper.bind

    def joining_bind(pipe: Any) -> IncrementalResourceWrapper:
        if (incremental := wrapper.incremental) is not None:
            _join(resource, incremental, say)
        return bind(pipe)

    if wrapper.incremental is not None:
        # What a hint said is copied, since dlt notes the window in it; what an earlier run left is
        # made anew.
        by_hint = wrapper._from_hints  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        if by_hint:
            resource.apply_hints(incremental=wrapper.incremental.copy())
        else:
            wrapper.set_incremental(None)
    vars(wrapper)["bind"] = joining_bind
    try:
        yield
    finally:
        vars(wrapper).clear()
        vars(wrapper).update(before)


def _join(resource: DltResource, incremental: Incremental[Any], say: Callable[[str], None]) -> bool:
    """Let an incremental take the window, if its cursor is a time and it does not say otherwise."""
    if incremental.allow_external_schedulers is not None:
        return False
    kind: Any = incremental.get_incremental_value_type()
    if inspect.isclass(kind) and issubclass(kind, date):
        incremental.allow_external_schedulers = True
        if resource.write_disposition == "append":
            say(
                f"Resource {resource.name!r} has write disposition 'append': a partition that is "
                "loaded again has its rows twice. Use 'merge' with a primary_key or a merge_key."
            )
        return True
    shown = getattr(kind, "__name__", str(kind))
    say(
        f"The window of the partition is not applied to resource {resource.name!r}: the type of its "
        f"cursor {incremental.cursor_path!r} is {shown}, not a time. Give the incremental a datetime "
        "as initial_value, or a type: dlt.sources.incremental[datetime]."
    )
    return False
