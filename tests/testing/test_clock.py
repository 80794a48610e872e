from __future__ import annotations

import pytest

from dagweave._kernel.clock import Clock
from dagweave.testing import FakeClock


def test_sleeping_takes_no_time_and_moves_the_hand():
    clock: Clock = FakeClock(100)

    clock.sleep(3600)

    assert clock.monotonic() == 3700


def test_every_pause_is_noted_and_what_merely_passes_is_not():
    clock = FakeClock()

    clock.sleep(1)
    clock.advance(5)
    clock.sleep(2.5)

    assert clock.slept == [1, 2.5]
    assert clock.monotonic() == 8.5


def test_time_does_not_go_back():
    with pytest.raises(ValueError, match="does not go back"):
        FakeClock().advance(-1)


def test_the_fixture_is_a_fake_clock(fake_clock: FakeClock):
    fake_clock.sleep(1)

    assert fake_clock.slept == [1]
