"""What tests know of the emulator of Databricks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests
from databricks.sdk import WorkspaceClient


@dataclass(frozen=True)
class Emulator:
    """The server, and what a client needs to reach it."""

    host: str
    token: str
    dbfs: str
    warehouse_id: str
    workspace: WorkspaceClient

    def ask(self, path: str, **query: str) -> Any:
        """What the emulator has beside Databricks' own API."""
        return requests.get(f"{self.host}/emulator/{path}", params=query, timeout=30).json()

    def statements(self, like: str) -> list[dict[str, Any]]:
        """The statements that came, and that a regular expression finds."""
        return self.ask("statements", like=like)
