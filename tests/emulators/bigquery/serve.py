"""BigQuery, as far as bqemulator speaks it: REST, and gRPC for the Storage API."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import mends
from bqemulator.config import LogLevel, Settings
from bqemulator.server import EmulatorServer

SETTINGS = Settings(
    rest_port=0,
    grpc_port=0,
    default_project_id="emulated",
    enable_format_extensions=False,
    query_cache_ttl_seconds=0,
    log_level=LogLevel.ERROR,
)


async def serve(told: int) -> None:
    server = EmulatorServer(SETTINGS)
    await server.start()
    known = {"url": server.rest_url, "storage": server.grpc_endpoint}
    os.write(told, json.dumps(known).encode() + b"\n")
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


def main() -> None:
    # What the server logs must not fill the pipe that nobody reads after the first line.
    told = os.dup(1)
    os.dup2(2, 1)
    mends.apply()
    asyncio.run(serve(told))


if __name__ == "__main__":
    main()
