"""Fixtures for pytest: `pytest_plugins = ["dagweave.testing.fixtures"]` in your `conftest.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dagweave.testing.clock import FakeClock
from dagweave.testing.slack import SlackServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def slack_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    """A running `SlackServer`, at which every `SlackResource` of the test ends up.

    Its address is in `DAGWEAVE_SLACK_BASE_URL`, its token in `SLACK_BOT_TOKEN`.
    """
    with SlackServer() as server:
        monkeypatch.setenv("DAGWEAVE_SLACK_BASE_URL", server.base_url)
        monkeypatch.setenv("SLACK_BOT_TOKEN", server.token)
        # Where a proxy leads out, it does not lead to this machine.
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield server


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock on which sleeping takes no time."""
    return FakeClock()
