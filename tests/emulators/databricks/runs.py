"""What the tests want to go wrong with runs of jobs, before minilake's own Jobs API."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request, Response
from statements import broken, faults

cancelled: list[int] = []


async def meddle(request: Request, go_on: Any) -> Any:
    """Let minilake answer; then do what the tests want.

    `lose_runs`: the connection breaks when a run was started. `unknown_state`: a run is in a state
    that no client knows yet.
    """
    path = request.url.path
    if path == "/emulator/cancelled":
        return Response(json.dumps(cancelled), media_type="application/json")
    if path.endswith("/jobs/runs/cancel"):
        cancelled.append(int(json.loads(await request.body())["run_id"]))
    answer = await go_on(request)
    if path.endswith(("/jobs/runs/submit", "/jobs/run-now")) and faults.pop("lose_runs", None):
        return broken()
    if path.endswith("/jobs/runs/get") and faults.pop("unknown_state", None):
        body = json.loads(b"".join([part async for part in answer.body_iterator]))
        body["state"] = {"life_cycle_state": "DREAMING", "state_message": "of sheep"}
        return Response(json.dumps(body), media_type="application/json")
    return answer
