"""Wait for many syncs at once, each in a thread, as the steps of one machine do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dagweave.connector.model import Handle, Phase
from dagweave.connector.poller import SharedPoller


def watched(service: Any, handles: Sequence[Handle], *, interval_s: float) -> float:
    """Wait until all have succeeded; return how long that took, in seconds."""

    def one(handle: Handle) -> Phase:
        poller = SharedPoller(service, interval_s)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            progress = poller.ask(handle)
            if progress is not None and progress.phase is not Phase.RUNNING:
                poller.done_with(handle)
                return progress.phase
            time.sleep(interval_s / 10)
        return Phase.UNKNOWN

    begun = time.monotonic()
    with ThreadPoolExecutor(len(handles)) as pool:
        assert set(pool.map(one, handles)) == {Phase.SUCCEEDED}
    return time.monotonic() - begun
