from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from dagweave._dagster.snapshots import obtain, refreshing
from dagweave._kernel.errors import InvalidInput, Unavailable
from dagweave._kernel.state import SnapshotUnusable, StateFile, state_dir


class Account(msgspec.Struct, frozen=True):
    tables: list[str]


def account(name: str = "shop", *, format: int = 1, whose: str = "acme") -> StateFile[Account]:  # noqa: A002
    return StateFile("vendor", name, Account, format, whose)


def answers(*tables: str) -> Callable[[], Account]:
    return lambda: Account(list(tables))


def unreachable() -> Account:
    raise Unavailable("The vendor did not answer.")


def test_the_state_folder_is_the_named_one_else_dagsters_else_the_projects(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")

    assert state_dir() == tmp_path / ".dagweave"
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert state_dir() == tmp_path / "home" / "dagweave"
    monkeypatch.setenv("DAGWEAVE_STATE_DIR", str(tmp_path / "state"))
    assert state_dir() == tmp_path / "state"


def test_without_a_project_the_state_is_in_the_working_directory(tmp_path):
    assert state_dir() == tmp_path / ".dagweave"


def test_what_was_seen_once_is_not_asked_for_again():
    first = obtain(account(), answers("orders"))

    again = obtain(account(), unreachable)

    assert again == first
    assert again.data.tables == ["orders"]


def test_a_refresh_asks_once_and_says_what_changed():
    obtain(account(), answers("orders"))

    with refreshing() as done:
        obtain(account(), answers("orders", "lines"))
        obtain(account(), unreachable)
    with refreshing() as same:
        obtain(account(), answers("orders", "lines"))

    assert [(each.file.name, each.changed, each.error) for each in done] == [("shop", True, None)]
    assert [each.changed for each in same] == [False]
    assert obtain(account(), unreachable).data.tables == ["orders", "lines"]


def test_a_refresh_that_fails_leaves_the_last_good_version_and_says_why(caplog):
    obtain(account(), answers("orders"))

    with refreshing() as done:
        kept = obtain(account(), unreachable)

    assert kept.data.tables == ["orders"]
    assert str(done[0].error) == "The vendor did not answer."
    assert "stays that of" in caplog.text
    assert obtain(account(), unreachable).data.tables == ["orders"]


def test_with_nothing_to_fall_back_on_the_reason_is_the_error():
    with pytest.raises(Unavailable, match="did not answer"):
        obtain(account(), unreachable)


def test_development_asks_anew_and_does_without_an_answer(monkeypatch):
    obtain(account(), answers("orders"))
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")

    assert obtain(account(), answers("lines")).data.tables == ["lines"]
    assert obtain(account(), unreachable).data.tables == ["lines"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (account(format=2), "Its format is 1, and this version reads 2"),
        (account(whose="other"), "It is of 'acme', and 'other' is wanted"),
    ],
)
def test_a_snapshot_of_another_format_or_account_is_made_anew_or_named(other, said):
    obtain(account(), answers("orders"))

    with pytest.raises(SnapshotUnusable, match=said) as raised:
        obtain(other, unreachable)
    assert "dagweave refresh" in str(raised.value)
    assert str(other.path) in str(raised.value)

    assert obtain(other, answers("new")).data.tables == ["new"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"format": 1, "whose": "acme"'])
def test_a_file_that_is_no_snapshot_is_named(content):
    path = account().path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    with pytest.raises(SnapshotUnusable, match=r"cannot be read: .*shop\.json"):
        obtain(account(), unreachable)


def test_what_cannot_be_written_is_done_without_and_a_refresh_says_so(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DAGWEAVE_STATE_DIR", str(tmp_path / "file"))

    assert obtain(account(), answers("orders")).data.tables == ["orders"]
    with pytest.raises(InvalidInput, match="cannot be written") as raised, refreshing():
        obtain(account(), answers("orders"))
    assert "Name a folder that can be written in DAGWEAVE_STATE_DIR." in str(raised.value)


def test_a_snapshot_is_read_where_nothing_can_be_written(tmp_path):
    obtain(account(), answers("orders"))
    files = list(state_dir().rglob("*"))
    try:
        for path in [*files, state_dir()]:
            path.chmod(0o555 if path.is_dir() else 0o444)

        assert obtain(account(), unreachable).data.tables == ["orders"]
    finally:
        for path in [state_dir(), *files]:
            path.chmod(0o755)


def test_systems_whose_names_look_alike_as_file_names_do_not_share_a_file():
    assert len({account(name).path for name in ("a b", "a-b", "a/b", "../a b")}) == 4
    assert {account(name).path.parent for name in ("a/b", "../../x")} == {state_dir() / "vendor"}


def test_who_refreshes_at_once_does_so_one_after_the_other():
    at_once = threading.Barrier(4)

    def take() -> Account:
        Path("busy").touch(exist_ok=False)
        Path("busy").unlink()
        return Account(["orders"])

    def refresh(_: int) -> list[str]:
        at_once.wait()
        with refreshing():
            return obtain(account(), take).data.tables

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(refresh, range(4))) == [["orders"]] * 4
