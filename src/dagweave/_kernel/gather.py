"""Do one thing to many, several at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")


def gather(function: Callable[[T], R], items: Iterable[T], *, threads: int) -> Iterator[R]:
    """Yield `function(item)` for each item, in their order, computed in up to `threads` threads.

    After the first error, which is raised, nothing more is begun.
    """
    from concurrent.futures import ThreadPoolExecutor

    given = list(items)
    if len(given) <= 1:
        yield from map(function, given)
        return
    pool = ThreadPoolExecutor(min(threads, len(given)), thread_name_prefix="dagweave")
    try:
        yield from pool.map(function, given)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
