"""The code of the reference document runs as it is written, imports apart.

The document is not part of the repository; where it stands beside the checkout, its blocks are
taken from it. What a block leaves out (names, imports, credentials) is declared here, by the
heading that it stands under.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dagweave.testing import SlackServer
from emulators import running
from snippets import ROOT, Prelude, run

REFERENCE = ROOT.parent / "shared" / "reference" / "integrations.md"

pytestmark = pytest.mark.skipif(
    not REFERENCE.exists(), reason="the reference document does not stand beside this checkout"
)

OFFICIAL = {
    "dagster_dbt": "dagweave.dbt",
    "dagster_dlt": "dagweave.dlt",
    "dagster_slack": "dagweave.slack",
}

DBT_PROJECT = {
    "dbt_project/dbt_project.yml": (
        "name: shop\nprofile: shop\nvars: {run_date: null}\n"
        "models: {shop: {staging: {+materialized: view}, marts: {+materialized: table}}}\n"
    ),
    "dbt_project/profiles.yml": (
        "shop:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: shop.duckdb\n"
    ),
    "dbt_project/models/staging/stg_customers.sql": "select 1 as id, '{{ var(\"run_date\") }}' as day",
    "dbt_project/models/staging/staging.yml": (
        "models:\n  - name: stg_customers\n    columns:\n"
        "      - {name: id, data_tests: [unique, not_null]}\n"
    ),
    "dbt_project/models/marts/customers.sql": "select * from {{ ref('stg_customers') }}",
}
DBT_NAMES = """
from pathlib import Path
from dagster import AssetExecutionContext, Definitions
from dagweave.dbt import DbtCliResource, DbtProject, dbt_assets

dbt_project = DbtProject(project_dir=Path(__file__).parent / "dbt_project")
dbt_project.prepare_if_dev()
"""
DBT_DEFS = """
defs = Definitions([{assets}], resources={{"dbt": DbtCliResource(project_dir=dbt_project)}})
"""
DLT_ENV = {
    # dlt finds the real type of a named destination in its configuration.
    "DESTINATION__SNOWFLAKE__DESTINATION_TYPE": "duckdb",
    "DESTINATION__SNOWFLAKE__CREDENTIALS": "local.duckdb",
    "SOURCES__ACCESS_TOKEN": "ghp_from_the_environment",
}
FETCHES = """
def fetch_github_issues(token, since):
    assert token == "ghp_from_the_environment"
    return [{"id": 1, "updated_at": "2026-01-01T00:00:00Z"}]

def fetch_github_prs(token):
    return [{"id": 1}, {"id": 2}]
"""
# As the document defines it under "Basic @dlt_assets".
GITHUB_SOURCE = """
import dlt
from dagster import Definitions
from dagweave.dlt import DagsterDltResource, dlt_assets

@dlt.source
def github_source():
    @dlt.resource
    def issues():
        yield [{"id": 1}]
    return issues

pipeline = dlt.pipeline(pipeline_name="github", destination="snowflake", dataset_name="raw_github")
"""
STRIPE = """
import dlt
from dagweave.dlt import DagsterDltResource, dlt_assets

@dlt.source
def stripe_source():
    @dlt.resource
    def customers():
        yield [{"id": 1}]
    @dlt.resource
    def charges():
        yield [{"id": 1, "customer_id": 1}]
    return customers, charges
"""
# The sources that the document's own comments describe.
STRIPE_MODELS = {
    "dbt_project/models/staging/sources.yml": (
        "sources:\n  - name: raw_stripe\n    schema: raw_stripe\n"
        "    tables: [{name: customers}, {name: charges}]\n"
    ),
    "dbt_project/models/staging/stg_customers.sql": "select * from {{ source('raw_stripe', 'customers') }}",
    "dbt_project/profiles.yml": DBT_PROJECT["dbt_project/profiles.yml"].replace(
        "shop.duckdb", "../local.duckdb"
    ),
}

IO_MANAGERS = """
import pandas as pd
from dagster import asset, materialize
from dagweave.duckdb import DuckDBPandasIOManager
from dagweave.snowflake import SnowflakePandasIOManager

@asset
def orders() -> pd.DataFrame:
    return pd.DataFrame({"id": [1]})

@asset
def count(orders) -> None:
    assert len(orders) == 1
"""
STORES = """
assert materialize([orders, count], resources=defs.resources).success
print(type(io_manager).__name__)
"""

PRELUDES = {
    "DbtProject + @dbt_assets (Recommended)": Prelude(
        files=DBT_PROJECT, materialize=True, expect="customers stg_customers"
    ),
    "Selecting Specific Models": Prelude(
        code=DBT_NAMES,
        files=DBT_PROJECT,
        after=DBT_DEFS.format(assets="staging_assets, marts_assets"),
        materialize=True,
        expect="customers stg_customers",
    ),
    "Partitioned dbt Assets": Prelude(
        code=DBT_NAMES,
        files=DBT_PROJECT,
        after=DBT_DEFS.format(assets="partitioned_dbt"),
        materialize=True,
        expect="customers stg_customers",
    ),
    "dbt Asset Checks from dbt Tests": Prelude(
        code=DBT_NAMES,
        files=DBT_PROJECT,
        after=DBT_DEFS.format(assets="my_dbt_assets")
        + "print(*sorted(check.name for check in my_dbt_assets.check_specs))",
        materialize=True,
        expect="not_null_stg_customers_id unique_stg_customers_id",
    ),
    "Custom Metadata from dbt": Prelude(
        code=DBT_NAMES,
        files=DBT_PROJECT,
        after=DBT_DEFS.format(assets="my_dbt_assets"),
        materialize=True,
        expect="Model model.shop.stg_customers completed in 0.",
    ),
    "Basic @dlt_assets": Prelude(
        code=FETCHES, env=DLT_ENV, materialize=True, expect="github/issues github/pull_requests"
    ),
    "Custom Asset Key Mapping": Prelude(
        code=GITHUB_SOURCE,
        env=DLT_ENV,
        after='defs = Definitions([github_assets], resources={"dlt": DagsterDltResource()})',
        materialize=True,
        expect="raw/github/issues",
    ),
    "DLT + dbt Combined Pipeline": Prelude(
        code=DBT_NAMES + STRIPE,
        env=DLT_ENV,
        files=DBT_PROJECT | STRIPE_MODELS,
        after="""
from dagster import AssetKey
from dagweave.weaving import weave
defs = weave(Definitions(
    [stripe_assets, dbt_assets],
    resources={"dbt": DbtCliResource(project_dir=dbt_project), "dlt": DagsterDltResource()},
))
node = defs.resolve_asset_graph().get(AssetKey("stg_customers"))
assert node.parent_keys == {AssetKey(["raw_stripe", "customers"])}, node.parent_keys
""",
        materialize=True,
        expect="customers raw_stripe/charges raw_stripe/customers stg_customers",
    ),
    "Slack Alerting": Prelude(
        code="""
from types import SimpleNamespace
from dagster import Definitions, EnvVar, asset

def do_work():
    return SimpleNamespace(row_count=7)
""",
        materialize=True,
        expect="monitored_asset",
    ),
    "Environment-Specific Resources": Prelude(
        code=IO_MANAGERS, after=STORES, expect="DuckDBPandasIOManager"
    ),
}
NOT_YET = {
    "Per-Asset Kubernetes Configuration": "Kubernetes is not begun",
    "Step-Level Isolation": "Kubernetes is not begun",
}
CANNOT_WORK = {"Failure Hooks": "a bare hook has no resources: Dagster refuses to give it one"}


def code_by_heading() -> dict[str, str]:
    """Each Python block under its nearest heading."""
    text = REFERENCE.read_text() if REFERENCE.exists() else ""
    found: dict[str, str] = {}
    heading = ""
    for match in re.finditer(
        r"^#+ ([^\n]+)$|^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    ):
        if match.group(1):
            heading = match.group(1)
        else:
            assert heading not in found
            found[heading] = match.group(2)
    return found


def ours(code: str) -> str:
    for official, name in OFFICIAL.items():
        code = code.replace(f"from {official} import", f"from {name} import")
    # The one place where the document writes an ellipsis for "your assets here".
    return code.replace("assets=[...]", "assets=[]")


@pytest.mark.parametrize("heading", PRELUDES)
def test_a_block_of_the_reference_runs_as_written(heading: str, tmp_path: Path):
    prelude = PRELUDES[heading]
    with SlackServer() as slack:
        env = {"DAGWEAVE_SLACK_BASE_URL": slack.base_url, "SLACK_BOT_TOKEN": slack.token}
        run(ours(code_by_heading()[heading]), replace(prelude, env=env | prelude.env), tmp_path)

        told = [(message.channel, message.text) for message in slack.inbox]

    if heading == "Slack Alerting":
        assert told == [("#data-alerts", "Asset `monitored_asset` completed: 7 rows loaded")]


def test_in_production_the_environments_of_the_reference_store_in_snowflake(tmp_path: Path):
    code = ours(code_by_heading()["Environment-Specific Resources"])
    with running("snowflake") as at:
        env = {
            "DAGSTER_CLOUD_DEPLOYMENT_NAME": "prod",
            "DAGWEAVE_SNOWFLAKE_BASE_URL": "{protocol}://{host}:{port}".format(**at),
            "SNOWFLAKE_ACCOUNT": "acme-test",
            # The document leaves open who logs in.
            "SNOWFLAKE_USER": "loader",
            "SNOWFLAKE_PASSWORD": "secret",
        }
        prelude = Prelude(
            code=IO_MANAGERS, after=STORES, env=env, expect="SnowflakePandasIOManager"
        )
        run(code, prelude, tmp_path)


def test_the_bare_failure_hook_is_refused_by_dagster_and_nothing_is_posted(tmp_path: Path):
    prelude = Prelude(
        code="from dagster import Definitions, job, op",
        after="""
from dagweave.slack import SlackResource

@op
def broken():
    raise ValueError("boom")

@job(hooks={slack_on_failure}, resource_defs={"slack": SlackResource(token="xoxb-local-dagweave")})
def alerting():
    broken()

result = alerting.execute_in_process(raise_on_error=False)
print([e.event_specific_data.error.cause.cls_name for e in result.all_events if e.event_type_value == "HOOK_ERRORED"])
""",
        expect="DagsterUnknownResourceError",
    )
    with SlackServer() as slack:
        env = {"DAGWEAVE_SLACK_BASE_URL": slack.base_url}
        run(ours(code_by_heading()["Failure Hooks"]), replace(prelude, env=env), tmp_path)

        assert slack.inbox == []
    assert "required_resource_keys" in (ROOT / "docs" / "slack.md").read_text()


def test_no_block_of_the_reference_is_passed_over():
    assert set(code_by_heading()) == set(PRELUDES) | set(NOT_YET) | set(CANNOT_WORK)
