"""Where the demo keeps everything: one folder, named by `DAGWEAVE_DEMO_DIR`.

Nothing is written outside it. The folder is made by `dagweave demo`; deleting it undoes the demo.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from dagweave._kernel.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Generator

VARIABLE = "DAGWEAVE_DEMO_DIR"
DEFAULT = "dagweave-demo"

_DAGSTER_YAML = """\
# Written by `dagweave demo`.
telemetry:
  enabled: false
"""


@dataclass(frozen=True)
class Home:
    """The folder of the demo and what lies in it."""

    root: Path

    @classmethod
    def current(cls) -> Home:
        """The folder that the environment names, else `dagweave-demo` where we are."""
        return cls(Path(os.environ.get(VARIABLE) or DEFAULT).resolve())

    @property
    def is_default(self) -> bool:
        """Whether this is the folder that is taken where none is named."""
        return self.root == Path(DEFAULT).resolve()

    @property
    def database(self) -> Path:
        """The DuckDB file. DuckDB calls its catalog by the file's stem: `flights`."""
        return self.root / "flights.duckdb"

    @property
    def dbt_project(self) -> Path:
        """The demo's dbt project, copied here since dbt writes beside its models."""
        return self.root / "dbt_project"

    @property
    def log(self) -> Path:
        """What dlt, dbt and Dagster printed in the last run."""
        return self.root / "run.log"

    @property
    def lock(self) -> Path:
        """Held by the one run that there may be at a time."""
        return self.root / "run.lock"

    @property
    def inbox(self) -> Path:
        """The messages that arrived at the local Slack server."""
        return self.root / "slack_inbox.json"

    def environment(self) -> dict[str, str]:
        """The variables that keep Dagster, dlt, dbt and matplotlib inside the folder, and quiet."""
        return {
            VARIABLE: str(self.root),
            "DAGSTER_HOME": str(self.root / "dagster"),
            "DBT_PROFILES_DIR": str(self.dbt_project),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "DBT_TARGET": "dev",
            "DLT_DATA_DIR": str(self.root / "dlt"),
            "DO_NOT_TRACK": "1",
            "MPLCONFIGDIR": str(self.root / "matplotlib"),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }

    def set_up(self) -> None:
        """Make the folder and bring the dbt project up to date. Keeps what was loaded before.

        Raises:
            InvalidInput: The folder cannot be made, or not be written to.
        """
        dagster = self.root / "dagster"
        project = Path(__file__).parent / "dbt_project"
        try:
            dagster.mkdir(parents=True, exist_ok=True)
            (dagster / "dagster.yaml").write_text(_DAGSTER_YAML)
            # Times of change are kept, so that dbt parses again only what is new.
            shutil.copytree(project, self.dbt_project, dirs_exist_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"The demo cannot write to {self.root}.",
                seen=str(error),
                remedy="Name a folder that can be written to: --dir",
            ) from error

    def must_have_run(self) -> None:
        """Do nothing if a run wrote here before.

        Raises:
            InvalidInput: None did.
        """
        if not self.database.exists():
            raise InvalidInput(
                f"There is nothing to show in {self.root} yet.", remedy="Run `dagweave demo` first."
            )

    @contextmanager
    def occupied(self) -> Generator[None]:
        """Within the block, no other run of the demo writes here.

        Raises:
            Unavailable: One does already.
        """
        lock = FileLock(self.lock)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise Unavailable(
                f"Another demo is running here: it writes to {self.root}.",
                remedy="Wait for its end, or name another folder: --dir",
            ) from error
        try:
            yield
        finally:
            lock.release()
