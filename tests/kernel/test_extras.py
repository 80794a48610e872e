from __future__ import annotations

import json
from pathlib import Path

import pytest

from dagweave._kernel.errors import MissingExtra
from dagweave._kernel.extras import installed, require


def test_a_module_that_is_there_is_returned():
    assert require("json", extra="x", what="it") is json


def test_a_submodule_is_returned_itself():
    assert require("json.decoder", extra="x", what="it").JSONDecodeError


def test_a_package_that_is_not_there_is_named_with_who_needs_it_and_how_to_install_it():
    with pytest.raises(MissingExtra) as caught:
        require(
            "no_such_package.part", extra="snowflake", what="SnowflakeResource.get_connection()"
        )

    assert str(caught.value) == (
        "SnowflakeResource.get_connection() needs no_such_package, which is not installed in this "
        "environment.\n"
        '  Install it: pip install "dagweave[snowflake]"'
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_package_that_lacks_something_of_its_own_says_so_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "half_installed.py").write_text("import its_own_dependency")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="its_own_dependency"):
        require("half_installed", extra="x", what="it")


def test_an_error_within_a_package_is_not_taken_for_its_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "broken_package.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ZeroDivisionError):
        require("broken_package", extra="x", what="it")


def test_it_can_be_asked_what_is_installed():
    assert installed("json")
    assert not installed("no_such_package")
