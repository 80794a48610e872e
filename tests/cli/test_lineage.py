from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WOVEN = """
from dagster import AssetDep, Definitions, asset
from dagweave.weaving import weave

@asset(metadata={"dagster/table_name": "raw.orders"})
def ingested(): ...

@asset(deps=[AssetDep("shop_orders", metadata={"dagster/table_name": "raw.orders"})])
def report(): ...

defs = weave(Definitions([ingested, report]))
"""
LOOSE = WOVEN.replace(
    '"dagster/table_name": "raw.orders"})])', '"dagster/table_name": "raw.other"})])'
)


def dagweave(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = Path(sys.executable).with_name("dagweave")
    return subprocess.run([command, *arguments], capture_output=True, text=True, check=False)


def test_it_shows_each_link_with_its_table():
    Path("pipeline.py").write_text(WOVEN)

    shown = dagweave("lineage", "-f", "pipeline.py")

    assert shown.returncode == 0, shown.stderr
    assert "1 linked by physical table" in shown.stdout
    assert shown.stdout.splitlines()[-1].split() == [
        "report",
        "shop_orders",
        "ingested",
        "raw.orders",
    ]


def test_it_finds_modules_and_workspaces_as_dagster_does():
    Path("pipeline.py").write_text(WOVEN)
    Path("workspace.yaml").write_text("load_from:\n  - python_file: pipeline.py\n")

    for arguments in (["-m", "pipeline"], ["-w", "workspace.yaml"], []):
        shown = dagweave("lineage", "--json", *arguments)
        assert json.loads(shown.stdout)["links"][0]["writer"] == ["ingested"], shown.stderr


def test_strict_fails_a_build_whose_tables_have_no_writer():
    Path("pipeline.py").write_text(LOOSE)

    relaxed, strict = (
        dagweave("lineage", "-f", "pipeline.py"),
        dagweave("lineage", "-f", "pipeline.py", "--strict"),
    )

    assert (relaxed.returncode, strict.returncode) == (0, 3)
    assert "report depends on shop_orders (raw.other): nobody here writes it" in strict.stdout


def test_definitions_that_are_not_woven_are_said_to_be_so():
    Path("pipeline.py").write_text(
        LOOSE.replace("weave(Definitions([ingested, report]))", "Definitions([ingested, report])")
    )

    assert "not woven" in dagweave("lineage", "-f", "pipeline.py").stdout


SEVERAL = """
from dagster import AssetDep, AssetSpec, Definitions, asset, multi_asset

@asset(metadata={"dagster/table_name": "raw.orders"})
def ingested(): ...

orders = AssetDep("shop_orders", metadata={"dagster/table_name": "raw.orders"})
others = AssetDep("shop_others", metadata={"dagster/table_name": "raw.others"})

@multi_asset(specs=[AssetSpec("a", deps=[orders]), AssetSpec("b", deps=[others]), AssetSpec("c")])
def several(): ...

defs = Definitions([ingested, several])
"""


def test_a_definition_of_several_assets_is_counted_once_where_nothing_is_woven():
    Path("pipeline.py").write_text(SEVERAL)

    for_people = dagweave("lineage", "-f", "pipeline.py")
    for_machines = dagweave("lineage", "-f", "pipeline.py", "--json", "--strict")

    assert "1 linked by physical table" in for_people.stdout
    assert "1 loose" in for_people.stdout
    found = json.loads(for_machines.stdout)
    assert [link["reader"] for link in found["links"]] == [["a"]]
    assert [loose["reader"] for loose in found["loose"]] == [["b"]]
    assert for_machines.returncode == 3


NAME_THEM = "Name them as for `dagster dev`"


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("x = 1\nprint(y)", "NameError"),
        ("def (", "SyntaxError"),
        ("\nimport no_such_library", "no_such_library"),
        ("x = 1\n" + WOVEN.replace('"raw.orders"', '"raw orders"'), "not the name of a table"),
    ],
)
def test_an_error_in_the_definitions_is_shown_with_its_line_and_is_no_matter_of_names(code, seen):
    Path("broken.py").write_text(code)

    shown = dagweave("lineage", "-f", "broken.py")

    assert shown.returncode == 1
    assert seen in shown.stderr
    line = len(code.rstrip().splitlines())
    assert f"broken.py, line {line}" in "".join(shown.stderr.splitlines())
    assert NAME_THEM not in shown.stderr


@pytest.mark.parametrize("arguments", [["-m", "no_such"], ["-f", "no_such.py"], ["-w", "no.yaml"]])
def test_only_where_nothing_is_found_it_says_how_to_name_definitions(arguments):
    assert NAME_THEM in dagweave("lineage", *arguments).stderr


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["-m", "no_such_module"], "no_such_module"),
        (["-f", "no_such_file.py"], "no_such_file.py"),
        (["-f", "broken.py"], "ZeroDivisionError"),
        ([], ""),
    ],
)
def test_definitions_that_do_not_load_are_one_message_that_says_why(arguments, seen):
    Path("broken.py").write_text("1 / 0")

    shown = dagweave("lineage", *arguments)

    assert shown.returncode == 1
    assert "The definitions could not be loaded." in shown.stderr
    assert seen in shown.stderr
    assert "Traceback" not in shown.stderr


def test_help_has_an_example():
    assert "Example: dagweave lineage -m" in dagweave("lineage", "--help").stdout
