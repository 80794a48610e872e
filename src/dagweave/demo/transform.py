"""dbt builds staging and marts on what dlt loaded; its tests are asset checks."""

# A user would not annotate what the function yields, and neither does the demo.
# pyright: reportUnknownParameterType=false

import json
import os

from dagster import AssetExecutionContext

from dagweave.dbt import DbtCliResource, DbtProject, dbt_assets
from dagweave.demo.home import Home

BREAK = "DAGWEAVE_DEMO_BREAK"
"""Set by `dagweave demo --break`: one mart then counts every carrier twice."""

project = DbtProject(project_dir=Home.current().dbt_project)
project.prepare_if_dev()


@dbt_assets(manifest=project.manifest_path, project=project)
def flight_models(context: AssetExecutionContext, dbt: DbtCliResource):
    """Staging and marts of the flights, with their tests."""
    variables = {"break": bool(os.environ.get(BREAK))}
    yield from dbt.cli(["build", "--vars", json.dumps(variables)], context=context).stream()
