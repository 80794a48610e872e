from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dagweave.slack import SlackResource
from dagweave.testing import SlackServer

A_USERS_TEST = """
from dagweave.slack import SlackResource

def test_mine(slack_server):
    SlackResource(token=slack_server.token).get_client().chat_postMessage(channel="#a", text="b")
    assert [m.text for m in slack_server.inbox] == ["b"]
"""


NOWHERE = {"HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1"}


def pytest_in(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # The plugin of another's folder, not ours: this run knows nothing of our configuration.
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if "proxy" not in k.lower()} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_users_tests_get_the_fixtures_when_they_ask_for_them(tmp_path: Path):
    (tmp_path / "test_mine.py").write_text(A_USERS_TEST)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["dagweave.testing.fixtures"]')

    done = pytest_in(tmp_path)

    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    "exempt",
    [{}, {"NO_PROXY": "corp.example"}, {"no_proxy": "corp.example"}, {"no_proxy": "*"}],
    ids=["nothing", "NO_PROXY", "no_proxy", "everything"],
)
def test_a_proxy_is_not_asked_for_the_server_and_what_was_exempt_stays_so(
    tmp_path: Path, exempt: dict[str, str]
):
    wanted = next(iter(exempt.values()), "127.0.0.1")
    (tmp_path / "test_mine.py").write_text(
        A_USERS_TEST + f"    import os\n    assert {wanted!r} in os.environ['no_proxy']\n"
    )
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["dagweave.testing.fixtures"]')

    done = pytest_in(tmp_path, **NOWHERE, **exempt)

    assert "1 passed" in done.stdout, done.stdout


def test_a_users_tests_get_nothing_that_they_do_not_ask_for(tmp_path: Path):
    (tmp_path / "test_mine.py").write_text("def test_mine(slack_server): ...")

    assert "fixture 'slack_server' not found" in pytest_in(tmp_path).stdout


def test_every_slack_resource_of_a_test_ends_up_at_the_server(slack_server: SlackServer):
    token = os.environ["SLACK_BOT_TOKEN"]

    SlackResource(token=token).get_client().chat_postMessage(channel="#data", text="hello")

    assert [message.text for message in slack_server.inbox] == ["hello"]


def test_the_package_loads_no_pytest_and_no_vendor():
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import dagweave.testing, sys; print(*({'pytest', 'slack_sdk', 'dagster'} & set(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert found.stdout.split() == []
