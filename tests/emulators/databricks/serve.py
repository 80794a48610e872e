"""Databricks, as far as minilake speaks it over HTTP. Tasks of jobs run as processes here.

`statements` stands before minilake's own Statement Execution API: why, it says itself.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

TOKEN = "dapi-of-the-emulator"


def main() -> None:
    # What the server logs must not fill the pipe that nobody reads after the first line.
    told = os.dup(1)
    os.dup2(2, 1)
    data = Path.cwd() / "data"
    os.environ |= {
        "MINILAKE_DATA_DIR": str(data),
        "MINILAKE_DUCKDB_EXTENSION_DIR": str(_extensions()),
        "MINILAKE_JOB_EXECUTOR": "subprocess",
        "MINILAKE_NOTEBOOK": "0",
        "MINILAKE_STATEMENT_CACHE_SIZE": "20",
        # A task is `python3`, which must be the one that has dagster_pipes.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # Where a task finds what is at /dbfs and /Volumes on a real cluster.
        "EMULATOR_DBFS": str(data / "dbfs"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    os.environ.pop("PYTHONPATH", None)
    import uvicorn

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(_app, factory=True, log_level="warning", http="h11"))
        listening.listen(128)
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        serving.start()
        while not server.started and serving.is_alive():
            time.sleep(0.05)
        if server.started:
            known = {"host": f"http://127.0.0.1:{port}", "token": TOKEN, "dbfs": str(data / "dbfs")}
            os.write(told, json.dumps(known).encode() + b"\n")
            sys.stdin.read()
        server.should_exit = True
        serving.join()


def _app() -> Any:
    from fastapi import Request
    from fastapi.responses import JSONResponse
    from minilake.app import create_app

    # Beside this file; imported when minilake has its settings.
    from runs import meddle
    from statements import router

    app = create_app()

    @app.middleware("http")
    async def only_with_the_token(request: Request, go_on: Any) -> Any:
        api = request.url.path.startswith("/api/")
        if api and request.headers.get("authorization") != f"Bearer {TOKEN}":
            refused = {"error_code": "PERMISSION_DENIED", "message": "Invalid access token."}
            return JSONResponse(refused, 403)
        return await meddle(request, go_on)

    app.router.routes[:0] = router.routes
    return app


def _extensions() -> Path:
    """A folder as DuckDB keeps its extensions, with the one that the wheel brings."""
    wheel = importlib.metadata.distribution("duckdb-extension-delta")
    (packed,) = [
        Path(str(wheel.locate_file(file)))
        for file in wheel.files or ()
        if file.name == "delta.duckdb_extension"
    ]
    import duckdb

    with duckdb.connect() as connection:
        (platform,) = connection.execute("PRAGMA platform").fetchall()[0]
    folder = Path.cwd() / "extensions"
    place = folder / packed.parent.name / platform
    place.mkdir(parents=True)
    (place / packed.name).symlink_to(packed)
    return folder


if __name__ == "__main__":
    main()
