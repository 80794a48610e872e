"""Write what a new component of dlt loads begins with. Without dlt, unless a source is named."""

import shutil
import subprocess
import sys
from pathlib import Path

from dagster import Scaffolder, ScaffoldRequest
from dagster.components import scaffold_component
from pydantic import BaseModel, Field

from dagweave._kernel.errors import InvalidInput, WorkFailed
from dagweave._kernel.extras import require

_LONGEST_INIT_S = 300
_LOADS = '''"""What the component loads: sources, and the pipelines that load them."""

import dlt


# Not called here: definitions then load without credentials and without the network.
@dlt.source
def my_load_source():
    @dlt.resource
    def hello_world():
        yield [{{"message": "hello, world!"}}]

    return hello_world


my_load_pipeline = dlt.pipeline(
    pipeline_name="my_load", destination={destination!r}, dataset_name="my_data"
)
'''


class DltScaffolderParams(BaseModel):
    """What `dg scaffold defs dagweave.dlt.DltLoadCollectionComponent` may be told."""

    source: str | None = Field(
        default=None, description="A source of dlt's hub to copy, as `dlt init` names it: github."
    )
    destination: str | None = Field(default=None, description="Where to load to: snowflake.")


class DltLoadCollectionScaffolder(Scaffolder[DltScaffolderParams]):
    """Writes the `defs.yaml` of a component, and a `loads.py` with a first source beside it."""

    @classmethod
    def get_scaffold_params(cls) -> type[DltScaffolderParams]:
        """Its parameters."""
        return DltScaffolderParams

    def scaffold(self, request: ScaffoldRequest[DltScaffolderParams]) -> None:
        """Write them.

        Raises:
            InvalidInput: A source without a destination.
            WorkFailed: `dlt init` failed; says what it said.
        """
        folder = Path(request.target_path)
        source, destination = request.params.source, request.params.destination
        if source and not destination:
            raise InvalidInput(
                f"The source {source!r} was named without a destination.",
                remedy="Name both: --source github --destination duckdb",
            )
        folder.mkdir(parents=True, exist_ok=True)
        if source and destination:
            _init(folder, source, destination)
        loads = folder / "loads.py"
        loads.write_text(_LOADS.format(destination=destination or "duckdb"), encoding="utf-8")
        scaffold_component(
            request,
            {"loads": [{"source": ".loads.my_load_source", "pipeline": ".loads.my_load_pipeline"}]},
        )


def _init(folder: Path, source: str, destination: str) -> None:
    """Let dlt copy the code of a source, without its example and what belongs to a whole project."""
    require("dlt", extra="dlt", what="dg scaffold defs dagweave.dlt.DltLoadCollectionComponent")
    command = [sys.executable, "-m", "dlt", "init", source, destination]
    done = subprocess.run(
        command,
        cwd=folder,
        # Older ones ask whether to go on.
        input="y\n" * 20,
        capture_output=True,
        text=True,
        timeout=_LONGEST_INIT_S,
        check=False,
    )
    if done.returncode:
        raise WorkFailed(
            f"dlt init {source} {destination} failed.",
            seen=(done.stdout + done.stderr)[-2000:],
            remedy="dlt init downloads the source. Leave --source out to begin with an example.",
        )
    for example in [
        *folder.glob("*_pipeline.py"),
        folder / ".gitignore",
        folder / "requirements.txt",
    ]:
        example.unlink(missing_ok=True)
    shutil.rmtree(folder / ".dlt", ignore_errors=True)
