"""What a failed load says: which pipeline, step and resource, what was seen, what to do."""

import io
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dlt
import duckdb
import pytest
from dagster import AssetExecutionContext, OpExecutionContext, RetryPolicy, job, op

from dagweave.dlt import DagsterDltResource, dlt_assets

ROOT = Path(__file__).parents[2]
BARE = ROOT / ".venvs" / "bare" / "bin" / "python"
SECRET = "swordfish-4242"


@dlt.source
def shop():
    return dlt.resource([{"id": 1, "price": 5}], name="orders")


@dlt.source
def broken():
    @dlt.resource
    def invoices():
        yield [{"id": 1}]
        raise ConnectionResetError("the API hung up")

    return invoices, dlt.resource([{"id": 1}], name="fine")


def test_a_resource_that_raises_is_named_and_its_own_error_is_the_cause(assets_of, load, query):
    loaded = load(assets_of(broken(), name="b"), raise_on_error=False)

    assert loaded.complaint == (
        "WorkFailed: dlt pipeline 'shop' failed when it extracted; nothing was loaded; "
        "resource 'invoices'.\n  ConnectionResetError: the API hung up"
    )
    assert loaded.metadata == {}
    cause = loaded.failure.error.cause.cause
    assert cause.cls_name == "ConnectionResetError"
    assert any("in invoices" in frame for frame in cause.stack)
    assert query("SELECT table_name FROM duckdb_tables()") == []


def test_a_resource_that_fails_once_is_retried_by_the_users_policy(assets_of, load):
    attempts = iter([ConnectionResetError("once"), None])

    @dlt.source
    def flaky():
        @dlt.resource
        def invoices():
            yield [{"id": 1}]
            if error := next(attempts):
                raise error
            yield [{"id": 2}]

        return invoices

    loaded = load(assets_of(flaky(), name="f", retry_policy=RetryPolicy(max_retries=1)))

    assert loaded.metadata["f/invoices"]["rows_loaded"] == 2


def test_a_row_that_the_destination_refuses_fails_all_with_its_own_words(
    make_pipeline, assets_of, load, query
):
    load(assets_of(shop(), name="s", dlt_pipeline=make_pipeline()))

    @dlt.source(name="shop")
    def changed():
        yield dlt.resource([{"id": 2}], name="people")
        yield dlt.resource(
            [{"id": None, "price": 6}], name="orders", columns={"id": {"nullable": True}}
        )

    with duckdb.connect(str(make_pipeline().destination.config_params["credentials"])) as direct:
        direct.execute("ALTER TABLE raw.orders ALTER id SET NOT NULL")

    loaded = load(assets_of(changed(), name="s"), raise_on_error=False)

    assert "failed when it loaded; no asset is reported as materialized; table 'orders'" in (
        loaded.complaint
    )
    assert "NOT NULL constraint failed" in loaded.complaint
    assert loaded.metadata == {}


def test_failed_jobs_fail_the_step_also_where_dlt_is_told_to_go_on(
    make_pipeline, assets_of, load, monkeypatch
):
    monkeypatch.setenv("LOAD__RAISE_ON_FAILED_JOBS", "false")
    load(assets_of(shop(), name="s", dlt_pipeline=make_pipeline()))
    with duckdb.connect(str(make_pipeline().destination.config_params["credentials"])) as direct:
        direct.execute("ALTER TABLE raw.orders ALTER price SET NOT NULL")

    @dlt.source(name="shop")
    def changed():
        return dlt.resource([{"id": 2, "price": None}], name="orders")

    loaded = load(assets_of(changed(), name="s"), raise_on_error=False)

    assert loaded.complaint.startswith("Refused: dlt pipeline 'shop' failed")
    assert "NOT NULL constraint failed" in loaded.complaint


def test_a_failed_load_is_not_taken_up_by_the_next_run(make_pipeline, assets_of, load, query):
    first = load(assets_of(broken(), name="b", dlt_pipeline=make_pipeline()), raise_on_error=False)
    assert not first.result.success

    second = load(assets_of(shop(), name="s", dlt_pipeline=make_pipeline()))

    assert second.metadata["s/orders"]["rows_loaded"] == 1
    assert query("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'invoices'") == [(0,)]


def test_nor_is_what_an_earlier_run_left_in_the_users_own_folder(
    make_pipeline, assets_of, load, query, monkeypatch
):
    monkeypatch.setenv("RESTORE_FROM_DESTINATION", "false")
    make_pipeline().extract([{"id": 9}], table_name="stale")

    loaded = load(assets_of(shop(), name="s", dlt_pipeline=make_pipeline()))

    assert loaded.metadata["s/orders"]["rows_loaded"] == 1
    assert query("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'stale'") == [(0,)]


def test_missing_credentials_name_the_keys_that_dlt_looked_for_and_are_not_retried(
    make_pipeline, assets_of, load
):
    pipeline = make_pipeline(destination="motherduck")

    assets = assets_of(
        shop(), name="s", dlt_pipeline=pipeline, retry_policy=RetryPolicy(max_retries=2)
    )
    loaded = load(assets, raise_on_error=False)

    assert loaded.complaint.startswith("InvalidInput: dlt pipeline 'shop' misses configuration")
    assert (
        "for 'password', any of DESTINATION__MOTHERDUCK__CREDENTIALS__PASSWORD, "
        in loaded.complaint
    )
    assert "secrets.toml" in loaded.complaint
    assert loaded.complaint.endswith("as a URL: DESTINATION__MOTHERDUCK__CREDENTIALS.")
    assert loaded.result.retry_attempts_for_node("s") == 0


def test_a_missing_secret_of_a_resource_names_its_keys(assets_of, load):
    @dlt.source
    def github():
        @dlt.resource
        def issues(access_token: str = dlt.secrets.value):
            yield [{"id": 1}]

        return issues

    loaded = load(assets_of(github(), name="g"), raise_on_error=False)

    assert "for 'access_token', any of SOURCES__TEST_FAILURES__ISSUES__ACCESS_TOKEN, " in (
        loaded.complaint
    )
    assert loaded.complaint.endswith("Set one variable of each line.")


def test_a_destination_that_is_not_installed_says_what_to_install(
    make_pipeline, assets_of, load, monkeypatch
):
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", f"postgresql://u:{SECRET}@h/db")
    pipeline = make_pipeline(destination="postgres")

    loaded = load(assets_of(shop(), name="s", dlt_pipeline=pipeline), raise_on_error=False)

    assert loaded.complaint.startswith("MissingExtra: dlt pipeline 'shop' needs ")
    assert 'pip install "dlt[postgres]"' in loaded.complaint
    assert SECRET not in str(loaded.failure)


def test_a_destination_that_cannot_be_opened_is_unavailable(
    tmp_path, make_pipeline, assets_of, load
):
    path = tmp_path / "missing" / "wh.duckdb"
    pipeline = make_pipeline(destination=dlt.destinations.duckdb(str(path)))

    loaded = load(assets_of(shop(), name="s", dlt_pipeline=pipeline), raise_on_error=False)

    assert loaded.complaint.startswith("Unavailable: dlt pipeline 'shop' failed when it read")
    assert str(path) in loaded.complaint


@dlt.destination(name="vault", loader_file_format="typed-jsonl")
def vault(items, table, password: dlt.TSecretStrValue = dlt.secrets.value):
    raise RuntimeError(f"cannot log in with {password}")


@pytest.fixture
def dlt_log() -> Iterator[io.StringIO]:
    """What dlt's logger says, whoever made its handlers."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger("dlt").addHandler(handler)
    yield written
    logging.getLogger("dlt").removeHandler(handler)


def test_a_password_is_in_no_error_no_metadata_and_no_log(
    make_pipeline, assets_of, load, monkeypatch, capfd, dlt_log
):
    monkeypatch.setenv("DESTINATION__VAULT__PASSWORD", SECRET)
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "1")
    pipeline = make_pipeline("vault", destination=vault, dataset_name=None)

    loaded = load(assets_of(shop(), name="s", dlt_pipeline=pipeline), raise_on_error=False)

    assert "RuntimeError: cannot log in with ***" in loaded.complaint
    assert all(SECRET not in str(event) for event in loaded.result.all_events)
    assert "cannot log in with ***" in dlt_log.getvalue()
    assert SECRET not in dlt_log.getvalue() + "".join(capfd.readouterr())


def test_a_password_in_the_credentials_given_in_code_is_masked(
    make_pipeline, assets_of, load, capfd
):
    @dlt.source
    def leaky():
        @dlt.resource
        def rows():
            raise ValueError(f"tried {SECRET}")
            yield

        return rows

    pipeline = make_pipeline(
        destination=dlt.destinations.motherduck({"database": "db", "password": SECRET}),
    )
    pipeline.config.restore_from_destination = False
    loaded = load(assets_of(leaky(), name="s", dlt_pipeline=pipeline), raise_on_error=False)

    assert SECRET not in "".join(str(event) for event in loaded.result.all_events)
    assert SECRET not in "".join(capfd.readouterr())


def test_a_successful_load_shows_no_secret(make_pipeline, assets_of, load, monkeypatch, capfd):
    monkeypatch.setenv("SOURCES__ACCESS_TOKEN", SECRET)

    @dlt.source
    def github(access_token: str = dlt.secrets.value):
        return dlt.resource([{"length": len(access_token)}], name="issues")

    loaded = load(assets_of(github(), name="g"))

    assert loaded.result.success
    assert all(SECRET not in str(event) for event in loaded.result.all_events)
    assert SECRET not in "".join(capfd.readouterr())


def test_a_cancelled_load_is_an_interruption_not_a_failure_of_dlt(assets_of, load):
    @dlt.source
    def endless():
        @dlt.resource
        def rows():
            raise KeyboardInterrupt
            yield

        return rows

    with pytest.raises(KeyboardInterrupt):
        load(assets_of(endless(), name="e"))


def test_the_folder_of_a_failed_step_goes_unless_it_is_to_be_kept(
    tmp_path, make_pipeline, assets_of, load
):
    kept = tmp_path / "pipelines" / ".dagweave"

    load(assets_of(broken(), name="b", dlt_pipeline=make_pipeline()), raise_on_error=False)
    assert list(kept.iterdir()) == []

    keeping = {"dlt": DagsterDltResource(keep_failed_folder=True)}
    load(
        assets_of(broken(), name="b", dlt_pipeline=make_pipeline()),
        resources=keeping,
        raise_on_error=False,
    )
    (folder,) = kept.iterdir()
    assert (folder / "shop" / "state.json").exists()

    load(assets_of(shop(), name="s", dlt_pipeline=make_pipeline()), resources=keeping)
    assert list(kept.iterdir()) == [folder]


def test_an_op_without_a_source_is_told_what_to_pass(make_pipeline):
    @op(out={})
    def loads(context: OpExecutionContext, dlt: DagsterDltResource):
        yield from dlt.run(context=context, dlt_pipeline=make_pipeline())

    @job(resource_defs={"dlt": DagsterDltResource()})
    def nightly():
        loads()

    result = nightly.execute_in_process(raise_on_error=False)

    (failed,) = [event for event in result.all_events if event.is_step_failure]
    said = failed.step_failure_data.user_failure_data.description
    assert "was not told its dlt_source" in said
    assert "dlt.run(context=context, dlt_source=...)" in said


def test_a_resource_without_an_asset_is_named(make_pipeline, load):
    @dlt_assets(dlt_source=shop(), dlt_pipeline=make_pipeline(), name="s")
    def more(context: AssetExecutionContext, dlt: DagsterDltResource):
        yield from dlt.run(context=context, dlt_source=broken())

    complaint = load(more, raise_on_error=False).complaint

    assert "invoices (would be raw/invoices)" in complaint


def test_without_dlt_the_error_says_how_to_install_it():
    script = "from dagweave.dlt import dlt_assets; dlt_assets(dlt_source=None, dlt_pipeline=None)"

    done = subprocess.run([BARE, "-c", script], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "MissingExtra: @dlt_assets needs dlt" in done.stderr
    assert 'pip install "dagweave[dlt]"' in done.stderr


def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path, make_pipeline, assets_of, load):
    pipeline = make_pipeline()
    (tmp_path / "pipelines" / ".dagweave").touch()

    loaded = load(assets_of(shop(), dlt_pipeline=pipeline), raise_on_error=False)

    assert loaded.complaint.startswith("InvalidInput: dlt pipeline 'shop' got no working folder.")
    assert "FileExistsError" in loaded.complaint
    assert "pipelines_dir=" in loaded.complaint


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("write_dispositon", "Did you mean write_disposition?"),
        ("source", "It takes: "),
        ("data", "dlt_source="),
    ],
)
def test_an_option_that_dlt_does_not_take_is_named_with_the_nearest(assets_of, load, option, hint):
    loaded = load(assets_of(shop(), options={option: 1}), raise_on_error=False)

    assert loaded.complaint.startswith(
        f"InvalidInput: DagsterDltResource.run() got {option}=, which dlt.Pipeline.run "
    )
    assert hint in loaded.complaint


def test_a_file_that_this_process_has_open_otherwise_is_a_lock(warehouse, assets_of, load):
    duckdb.connect(str(warehouse)).close()
    with duckdb.connect(str(warehouse), read_only=True):
        loaded = load(
            assets_of(shop()),
            resources={"dlt": DagsterDltResource(lock_timeout_s=0.3)},
            raise_on_error=False,
        )

    assert loaded.complaint.startswith("WaitTimeout: Waited 0.3 s for the DuckDB file")
    assert "one pool with a limit of 1" in loaded.complaint
    assert "Check the destination" not in loaded.complaint
