"""Assets as tables of Unity Catalog, as users have them."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster import (
    DailyPartitionsDefinition,
    EnvVar,
    Failure,
    InputContext,
    OutputContext,
    StaticPartitionsDefinition,
    asset,
    materialize,
)

from dagweave._kernel.errors import InvalidInput, WaitTimeout
from dagweave.databricks import (
    DatabricksArrowIOManager,
    DatabricksIOManager,
    DatabricksPandasIOManager,
    DatabricksPandasTypeHandler,
    DatabricksPolarsIOManager,
    DbTypeHandler,
    OauthCredentials,
    TableSlice,
    build_databricks_io_manager,
)
from dagweave.databricks.statement import SqlWarehouse
from dagweave.databricks.store import DatabricksStore
from dagweave.databricks.workspace import Login
from dagweave.testing import FakeClock
from dagweave.testing.warehouse_contract import MONDAY, Warehouse
from dagweave.warehouse import Query
from emulators.at_databricks import Emulator

pytestmark = pytest.mark.xdist_group("databricks")

Ask = Callable[[str], list[list[str]]]


@pytest.fixture
def settings(emulator: Emulator, catalog: str) -> dict[str, Any]:
    """What an I/O manager needs to reach the test's catalog."""
    return {
        "host": emulator.host,
        "token": emulator.token,
        "warehouse_id": emulator.warehouse_id,
        "catalog": catalog,
        "schema": "marts",
    }


@pytest.fixture
def warehouse(emulator: Emulator, catalog: str) -> Warehouse:
    login = Login(emulator.host, emulator.token)
    return Warehouse(DatabricksStore(login, emulator.warehouse_id, catalog))


@pytest.mark.parametrize(
    ("io_manager", "type_", "frame"),
    [
        (DatabricksPandasIOManager, pd.DataFrame, pd.DataFrame({"id": [1, 2], "name": ["a", None]})),
        (DatabricksPolarsIOManager, pl.DataFrame, pl.DataFrame({"id": [1, 2], "name": ["a", None]})),
        (DatabricksArrowIOManager, pa.Table, pa.table({"id": [1, 2], "name": ["a", None]})),
    ],
)  # fmt: skip
def test_a_frame_is_a_table_and_an_input_of_the_same_kind(
    settings: dict[str, Any], query: Ask, io_manager: Any, type_: Any, frame: Any
) -> None:
    seen: list[Any] = []

    @asset
    def orders() -> Any:
        return frame

    @asset
    def report(orders) -> None:
        seen.append(orders)

    run = materialize([orders, report], resources={"io_manager": io_manager(**settings)})

    [written] = run.asset_materializations_for_node("orders")
    table = f"{settings['catalog']}.marts.orders"
    assert query(f"SELECT id, name FROM {table} ORDER BY id") == [["1", "a"], ["2", None]]
    assert isinstance(seen[0], type_)
    assert (pl.DataFrame(seen[0]) if type_ is not pd.DataFrame else pl.from_pandas(seen[0])).sort(
        "id"
    ).rows() == [(1, "a"), (2, None)]
    assert written.metadata["dagster/table_name"].value == table
    assert written.metadata["dagweave/query_url"].value.startswith(settings["host"])
    assert written.metadata["dagster/row_count"].value == 2


def test_partitions_replace_their_own_rows_and_rows_of_others_are_counted(
    settings: dict[str, Any], query: Ask
) -> None:
    @asset(
        partitions_def=DailyPartitionsDefinition("2026-01-01"),
        metadata={"partition_expr": "day"},
    )
    def visits(context) -> pl.DataFrame:
        day = dt.date.fromisoformat(context.partition_key)
        days = [day, day + dt.timedelta(days=7)] if context.run.tags.get("stray") else [day]
        return pl.DataFrame({"day": days, "n": [1] * len(days)})

    resources = {"io_manager": DatabricksPolarsIOManager(**settings)}
    for key, tags in (("2026-01-05", {}), ("2026-01-06", {}), ("2026-01-05", {"stray": "1"})):
        run = materialize([visits], partition_key=key, resources=resources, tags=tags)

    [written] = run.asset_materializations_for_node("visits")
    assert written.metadata["dagweave/rows_outside_partition"].value == 1
    table = f"{settings['catalog']}.marts.visits"
    assert query(f"SELECT day FROM {table} ORDER BY day") == [
        ["2026-01-05"],
        ["2026-01-06"],
        ["2026-01-12"],
    ]


def test_the_result_of_a_query_stays_in_the_warehouse(settings: dict[str, Any], query: Ask) -> None:
    @asset
    def sales() -> pl.DataFrame:
        return pl.DataFrame({"day": ["mon", "mon", "tue"], "amount": [1, 2, 3]})

    @asset
    def revenue(sales: Query) -> Query:
        return Query(f"SELECT day, sum(amount) AS amount FROM ({sales}) AS sales GROUP BY day")

    resources = {"io_manager": DatabricksPolarsIOManager(**settings)}
    assert materialize([sales, revenue], resources=resources).success

    table = f"{settings['catalog']}.marts.revenue"
    assert query(f"SELECT amount FROM {table} ORDER BY day") == [["3"], ["3"]]


def test_staged_rows_are_gone_when_they_are_written_and_when_they_are_not(
    settings: dict[str, Any], emulator: Emulator
) -> None:
    @asset
    def orders() -> pl.DataFrame:
        return pl.DataFrame({"id": [1]})

    @asset(metadata={"schema_policy": "strict"}, key="orders")
    def others() -> pl.DataFrame:
        return pl.DataFrame({"id": [2], "more": ["x"]})

    resources = {"io_manager": DatabricksPolarsIOManager(**settings)}
    assert materialize([orders], resources=resources).success
    with pytest.raises(Failure, match="more"):
        materialize([others], resources=resources)

    volume = Path(emulator.dbfs, "Volumes", settings["catalog"], "marts", "dagweave_staging")
    assert list(volume.iterdir()) == []


def test_rows_pass_through_the_volume_that_is_named(
    settings: dict[str, Any], emulator: Emulator
) -> None:
    @asset
    def orders() -> pl.DataFrame:
        return pl.DataFrame({"id": [1]})

    volume = f"{settings['catalog']}.default.landing"
    io_manager = DatabricksPolarsIOManager(**settings, staging_volume=volume)
    assert materialize([orders], resources={"io_manager": io_manager}).success

    assert Path(emulator.dbfs, "Volumes", *volume.split(".")).is_dir()
    with pytest.raises(InvalidInput, match="volume"):
        DatabricksPolarsIOManager(**settings, staging_volume="landing")


def test_one_s_own_handler_gets_the_sql_warehouse(settings: dict[str, Any], query: Ask) -> None:
    class Texts(DbTypeHandler[str]):
        def handle_output(
            self,
            context: OutputContext,
            table_slice: TableSlice,
            obj: str,
            connection: SqlWarehouse,
        ) -> None:
            name = f"{table_slice.database}.{table_slice.schema}.{table_slice.table}"
            connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT ? AS text", [obj])

        def load_input(
            self, context: InputContext, table_slice: TableSlice, connection: SqlWarehouse
        ) -> str:
            name = f"{table_slice.database}.{table_slice.schema}.{table_slice.table}"
            return connection.execute(f"SELECT text FROM {name}")[0][0]

        @property
        def supported_types(self) -> list[type]:
            return [str]

    seen: list[str] = []

    @asset
    def note() -> str:
        return "it's ? fine"

    @asset
    def reader(note: str) -> None:
        seen.append(note)

    io_manager = build_databricks_io_manager([Texts()]).configured(settings)
    assert materialize([note, reader], resources={"io_manager": io_manager}).success

    assert seen == ["it's ? fine"]


def test_the_form_that_is_configured_knows_its_table() -> None:
    io_manager = build_databricks_io_manager([DatabricksPandasTypeHandler()]).configured(
        {"warehouse_id": "w", "catalog": "c", "schema": "s", "token": "t", "host": "h"}
    )

    assert str(io_manager.table_of(asset(lambda: 1, name="orders").key, {})) == "c.s.orders"


def test_no_secret_is_in_the_repr_nor_in_a_wrong_setting() -> None:
    io_manager = DatabricksPandasIOManager(
        host="https://here", token="dapi-look-for-me", warehouse_id="w", catalog="c"
    )
    oauth = OauthCredentials(client_id="who", client_secret="dapi-look-for-me")

    assert "look-for-me" not in repr(io_manager) + repr(oauth) + repr(Login(token="look-for-me"))
    with pytest.raises(ValueError, match="catalog") as caught:
        DatabricksPandasIOManager(token="dapi-look-for-me", warehouse_id="w", catalog=["c"])
    assert "look-for-me" not in str(caught.value)


def test_a_refused_token_is_reported_and_never_shown(settings: dict[str, Any]) -> None:
    @asset
    def orders() -> pl.DataFrame:
        return pl.DataFrame({"id": [1]})

    io_manager = DatabricksPolarsIOManager(**settings | {"token": "dapi-wrong-look-for-me"})
    with pytest.raises(Failure) as caught:
        materialize([orders], resources={"io_manager": io_manager})

    assert "Refused" in str(caught.value.description)
    assert "credentials" in str(caught.value.description)
    assert "look-for-me" not in str(caught.value.description)
    assert caught.value.allow_retries is False


def test_credentials_of_two_kinds_are_refused() -> None:
    with pytest.raises(InvalidInput, match="pat and oauth-m2m"):
        _ = Login(token="t", client_id="i", client_secret="s").way
    with pytest.raises(InvalidInput, match="oauth-m2m"):
        _ = Login(client_id="i").way


def test_a_catalog_that_is_not_there_is_named(settings: dict[str, Any]) -> None:
    @asset
    def orders() -> pl.DataFrame:
        return pl.DataFrame({"id": [1]})

    io_manager = DatabricksPolarsIOManager(**settings | {"catalog": "nowhere"})
    with pytest.raises(Failure, match="nowhere"):
        materialize([orders], resources={"io_manager": io_manager})


def test_a_stopped_warehouse_is_waited_for(
    settings: dict[str, Any], emulator: Emulator, warehouse: Warehouse
) -> None:
    emulator.workspace.warehouses.stop(emulator.warehouse_id)
    told: list[str] = []
    login = Login(emulator.host, emulator.token)
    store = DatabricksStore(login, emulator.warehouse_id, settings["catalog"], tell=told.append)

    Warehouse(store).replace("orders", [{"n": 1}])

    assert warehouse.rows("orders") == [{"n": 1}]
    assert ["waiting" in each for each in told] == [True]


@pytest.mark.parametrize("kind", ["CREATE TABLE", "REPLACE WHERE", "MERGE INTO"])
def test_a_statement_whose_answer_was_lost_is_looked_up_and_not_sent_again(
    warehouse: Warehouse, emulator: Emulator, kind: str
) -> None:
    rows = [{"day": "2026-01-05", "n": 1}]
    if kind != "CREATE TABLE":
        warehouse.replace("orders", [{"day": "2026-01-05", "n": 0}])
    emulator.ask("faults", lose_answers_of=kind)
    before = len(emulator.statements(kind))

    if kind == "MERGE INTO":
        warehouse.replace("orders", [*rows, {"day": "2026-01-06", "n": 2}], MONDAY)
    else:
        warehouse.replace("orders", rows, MONDAY)

    assert len(emulator.statements(kind)) == before + 1
    assert [row["n"] for row in warehouse.rows("orders", MONDAY)] == [1]


def test_a_query_whose_answer_was_lost_is_asked_again(
    warehouse: Warehouse, emulator: Emulator
) -> None:
    warehouse.replace("orders", [{"n": 1}])
    emulator.ask("faults", lose_answers_of="SELECT . FROM .*orders")

    assert warehouse.rows("orders") == [{"n": 1}]


def test_a_link_that_has_expired_is_asked_for_again(
    warehouse: Warehouse, emulator: Emulator
) -> None:
    rows = [{"n": n} for n in range(12_000)]
    warehouse.replace("orders", rows)
    emulator.ask("faults", expire_a_link="1")

    found = warehouse.read("orders")

    assert sorted(found.column("n").to_pylist()) == [row["n"] for row in rows]


def test_a_writer_that_loses_against_another_tries_again(
    warehouse: Warehouse, emulator: Emulator
) -> None:
    warehouse.replace("orders", [{"day": "2026-01-05", "n": 0}])
    emulator.ask("faults", conflict_in="REPLACE WHERE")

    warehouse.replace("orders", [{"day": "2026-01-05", "n": 1}], MONDAY)

    assert warehouse.rows("orders") == [{"day": "2026-01-05", "n": 1}]


def test_a_statement_that_takes_too_long_is_cancelled(emulator: Emulator, catalog: str) -> None:
    emulator.ask("faults", keep_running="SELECT 42")
    warehouse = SqlWarehouse(
        emulator.workspace, emulator.warehouse_id, timeout_s=60, clock=FakeClock()
    )

    with pytest.raises(WaitTimeout, match="statement_timeout_s"):
        warehouse.execute("SELECT 42")

    [statement] = emulator.statements("SELECT 42")
    assert statement["state"] == "CANCELED"


def test_an_interrupt_cancels_the_statement_and_goes_on(emulator: Emulator) -> None:
    emulator.ask("faults", keep_running="SELECT 43")

    class Interrupting(FakeClock):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

    warehouse = SqlWarehouse(emulator.workspace, emulator.warehouse_id, clock=Interrupting())

    with pytest.raises(KeyboardInterrupt):
        warehouse.execute("SELECT 43")

    [statement] = emulator.statements("SELECT 43")
    assert statement["state"] == "CANCELED"


def test_threads_write_different_tables_side_by_side(warehouse: Warehouse) -> None:
    threads = [
        threading.Thread(target=warehouse.replace, args=(f"t{n}", [{"n": n}])) for n in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert [warehouse.rows(f"t{n}") for n in range(4)] == [[{"n": n}] for n in range(4)]


def test_settings_may_come_from_the_environment(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", settings.pop("token"))
    monkeypatch.setenv("DAGWEAVE_DATABRICKS_BASE_URL", settings.pop("host"))

    @asset(partitions_def=StaticPartitionsDefinition(["x"]), metadata={"partition_expr": "p"})
    def orders() -> pl.DataFrame:
        return pl.DataFrame({"p": ["x"]})

    io_manager = DatabricksPolarsIOManager(**settings, token=EnvVar("A_TOKEN"))
    run = materialize([orders], partition_key="x", resources={"io_manager": io_manager})

    assert run.success


def test_the_base_class_wants_handlers() -> None:
    with pytest.raises(TypeError, match="type_handlers"):
        DatabricksIOManager(warehouse_id="w", catalog="c")
