from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagweave._kernel.clock import SYSTEM_CLOCK
from dagweave._kernel.errors import WaitTimeout
from dagweave._kernel.wait import backoff, wait_for
from dagweave.testing import FakeClock


def after(looks: int) -> Callable[[], str | None]:
    """Something that is there at the given look."""
    counter = itertools.count(1)
    return lambda: "there" if next(counter) >= looks else None


def test_what_is_there_already_is_not_waited_for():
    clock = FakeClock()

    assert wait_for(after(1), what="it", timeout_s=10, clock=clock) == "there"
    assert clock.slept == []


def test_it_looks_again_after_each_pause():
    clock = FakeClock()

    found = wait_for(
        after(4), what="it", timeout_s=10, pauses=iter([1.0, 2.0, 3.0, 4.0]), clock=clock
    )

    assert found == "there"
    assert clock.slept == [1, 2, 3]


@pytest.mark.parametrize("found", [0, False, "", []])
def test_something_empty_is_found_nevertheless(found: object):
    assert wait_for(lambda: found, what="it", timeout_s=0, clock=FakeClock()) == found


def test_it_looks_once_more_when_time_is_up_and_not_later():
    clock = FakeClock()
    looked_at: list[float] = []

    with pytest.raises(WaitTimeout):
        wait_for(
            lambda: looked_at.append(clock.monotonic()),
            what="it",
            timeout_s=5,
            pauses=itertools.repeat(2.0),
            clock=clock,
        )

    assert looked_at == [0, 2, 4, 5]


def test_without_any_time_it_still_looks_once():
    assert wait_for(after(1), what="it", timeout_s=0, clock=FakeClock()) == "there"


def test_time_that_looking_takes_counts():
    clock = FakeClock()

    with pytest.raises(WaitTimeout):
        wait_for(lambda: clock.advance(60), what="it", timeout_s=30, clock=clock)

    assert clock.slept == []


def test_the_error_says_what_was_waited_for_what_was_seen_and_what_to_do():
    with pytest.raises(WaitTimeout) as caught:
        wait_for(
            lambda: None,
            what="the lock of dev.duckdb",
            timeout_s=2.5,
            last_seen=lambda: "held by process 42",
            remedy="Close it.",
            clock=FakeClock(),
        )

    assert str(caught.value) == (
        "Waited 2.5 s for the lock of dev.duckdb, in vain.\n  held by process 42\n  Close it."
    )


def test_an_error_while_looking_ends_the_wait():
    def look() -> None:
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        wait_for(look, what="it", timeout_s=10, clock=FakeClock())


@given(st.floats(0.2, 3600), st.floats(0.001, 10), st.floats(0.5, 100))
def test_the_whole_wait_is_never_longer_than_it_may_be(timeout_s: float, first: float, cap: float):
    clock = FakeClock()

    with pytest.raises(WaitTimeout):
        wait_for(
            lambda: None,
            what="it",
            timeout_s=timeout_s,
            pauses=backoff(first, cap_s=cap, jitter=0),
            clock=clock,
        )

    assert clock.monotonic() == pytest.approx(timeout_s)


@given(st.floats(0.01, 10), st.floats(0.01, 100), st.floats(1, 10), st.floats(0, 1))
def test_each_pause_is_longer_up_to_the_cap_less_at_most_the_jitter(
    first: float, cap: float, factor: float, jitter: float
):
    pauses = list(itertools.islice(backoff(first, cap_s=cap, factor=factor, jitter=jitter), 80))

    for n, pause in enumerate(pauses):
        full = min(cap, first * factor ** min(n, 64))
        assert full * (1 - jitter) <= pause * 1.000001
        assert pause <= full


def test_two_who_wait_for_one_thing_do_not_come_back_at_the_same_moment():
    one = list(itertools.islice(backoff(1, cap_s=100), 5))
    other = list(itertools.islice(backoff(1, cap_s=100), 5))

    assert one != other


def test_the_clock_of_the_machine_moves_on():
    before = SYSTEM_CLOCK.monotonic()
    SYSTEM_CLOCK.sleep(0.01)

    assert SYSTEM_CLOCK.monotonic() - before >= 0.009
