"""A component's project that is fetched from a git repository, or kept as its state.

Repositories are real: files of git's own, and git's own server behind one that asks for a token.
"""

import asyncio
import base64
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, Definitions, materialize
from dagster.components.core.component_tree import ComponentTree, ComponentTreeException

from dagweave._kernel.errors import InvalidInput, Refused, Unavailable
from dagweave.dbt import DbtProjectComponent
from dagweave.dbt.remote import DbtGitProject

# Dagster's own, when it reads YAML.
pytestmark = pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")

TOKEN = "hunter2hunter2"


def git(folder: Path, *args: str) -> None:
    said = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *said, *args], cwd=folder, check=True, capture_output=True)


class Repository:
    """A repository with the shop in a folder `dbt`, and a clone of it to work in."""

    def __init__(self, folder: Path, shop: Path) -> None:
        self.bare = folder / "shop.git"
        self.work = folder / "work"
        self.shop = self.work / "dbt"
        git(folder, "init", "--bare", "--initial-branch=main", str(self.bare))
        git(folder, "clone", str(self.bare), str(self.work))
        left_out = shutil.ignore_patterns("target", "logs", "*.duckdb", "done")
        shutil.copytree(shop, self.shop, ignore=left_out)
        self.commit("begin")

    @property
    def url(self) -> str:
        return self.bare.as_uri()

    def commit(self, message: str) -> None:
        git(self.work, "add", "--all")
        git(self.work, "commit", "--message", message)
        git(self.work, "push", "origin", "HEAD:main")

    def adds(self, model: str) -> None:
        (self.shop / "models" / f"{model}.sql").write_text("select 1 as id")
        self.commit(f"add {model}")


@pytest.fixture
def repository(built_shop: Path, tmp_path: Path) -> Repository:
    folder = tmp_path / "git"
    folder.mkdir()
    return Repository(folder, built_shop)


def refresh(dg: Any) -> None:
    """As `dg utils refresh-defs-state` does."""
    tree = ComponentTree.for_project(dg.root)
    for component in tree.get_all_components(of_type=DbtProjectComponent):
        asyncio.run(component.refresh_state(dg.root))


def names(defs: Definitions) -> set[str]:
    keys = defs.resolve_asset_graph().materializable_asset_keys
    return {key.to_user_string() for key in keys}


def why_not(dg: Any, kind: type[Exception]) -> str:
    """What a code location says that does not load."""
    with pytest.raises(ComponentTreeException) as raised:
        dg.load()
    cause = raised.value.__cause__
    assert isinstance(cause, kind)
    return str(cause)


def clones(dg: Any) -> list[Path]:
    return sorted(dg.package.glob("defs/.local_defs_state/*/project-*"))


def test_a_project_of_a_repository_is_fetched_once_and_its_models_are_built(
    dg: Any, repository: Repository
):
    dg.says("shop", project={"repo_url": repository.url, "repo_relative_path": "dbt"})

    refresh(dg)
    shutil.rmtree(repository.bare)
    defs = dg.load()

    assert "orders" in names(defs)
    asset = defs.resolve_assets_def(AssetKey("countries"))
    result = materialize([asset], selection=[AssetKey("countries")])
    assert result.success
    assert result.get_asset_materialization_events()
    [clone] = clones(dg)
    assert not (clone / ".git").exists()


def test_in_development_what_was_pushed_is_fetched_and_what_was_not_is_not(
    dg: Any, repository: Repository, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")
    dg.says("shop", project={"repo_url": repository.url, "repo_relative_path": "dbt"})

    assert "extra" not in names(dg.load())
    [first] = clones(dg)
    dg.load()
    assert clones(dg) == [first]

    repository.adds("extra")
    assert "extra" in names(dg.load())
    assert first in clones(dg), "a run may be at work there"


def test_what_cannot_be_fetched_or_parsed_leaves_what_there_is(
    dg: Any, repository: Repository, monkeypatch: pytest.MonkeyPatch
):
    dg.says("shop", project={"repo_url": repository.url, "repo_relative_path": "dbt"})
    refresh(dg)

    repository.adds("extra")
    (repository.shop / "models" / "broken.sql").write_text("{{ nonsense(")
    repository.commit("break it")
    with pytest.raises(InvalidInput, match=r"broken\.sql"):
        refresh(dg)

    assert len(clones(dg)) == 1
    assert "extra" not in names(dg.load())

    repository.bare.rename(repository.bare.with_name("elsewhere"))
    with pytest.raises(Refused, match="could not be fetched"):
        refresh(dg)
    assert "orders" in names(dg.load())


def test_in_development_without_a_network_the_last_one_is_shown(
    dg: Any, repository: Repository, server: "GitServer", monkeypatch: pytest.MonkeyPatch
):
    project = {"repo_url": server.url, "repo_relative_path": "dbt", "token": TOKEN}
    dg.says("shop", project=project)
    refresh(dg)
    server.close()
    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")

    assert "orders" in names(dg.load())

    shutil.rmtree(dg.package / "defs" / ".local_defs_state")
    assert "could not be fetched" in why_not(dg, Unavailable)


def test_a_project_that_was_never_fetched_says_how_to_fetch_it(dg: Any, repository: Repository):
    dg.says("shop", project={"repo_url": repository.url})

    assert "refresh-defs-state" in why_not(dg, InvalidInput)


def test_a_repository_without_the_folder_or_the_branch_says_so(
    dg: Any, repository: Repository, tmp_path: Path
):
    state = tmp_path / "state" / "state"
    wrong = DbtGitProject(repository.url, "no/such")
    with pytest.raises(InvalidInput, match="has no folder no/such"):
        DbtProjectComponent(wrong).write_state_to_path(state)
    with pytest.raises(InvalidInput, match="no branch and no tag release"):
        DbtProjectComponent(DbtGitProject(repository.url, branch="release")).write_state_to_path(
            state
        )
    assert not state.exists()
    assert not list(state.parent.glob("project-*"))


def test_components_that_differ_have_states_of_their_own(repository: Repository):
    part = DbtProjectComponent(DbtGitProject(repository.url), select="tag:nightly")
    plain = DbtProjectComponent(DbtGitProject(repository.url))
    other = DbtProjectComponent(DbtGitProject(repository.url, "dbt", branch="main"))

    assert plain.defs_state_config.key == f"DbtProjectComponent[{repository.url}]"
    keys = {each.defs_state_config.key for each in (plain, other, part)}
    assert len(keys) == 3


class GitServer:
    """git's own server, for who shows the token."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append(self.headers.get("Authorization", ""))
                if (
                    base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
                    not in (owner.asked[-1])
                ):
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="git"')
                    self.end_headers()
                    return
                self._hand_on()

            do_POST = do_GET  # noqa: N815

            def _hand_on(self) -> None:
                path, _, query = self.path.partition("?")
                size = int(self.headers.get("Content-Length") or 0)
                done = subprocess.run(
                    ["git", "http-backend"],
                    input=self.rfile.read(size),
                    capture_output=True,
                    check=False,
                    env={
                        **os.environ,
                        "GIT_PROJECT_ROOT": str(folder),
                        "GIT_HTTP_EXPORT_ALL": "1",
                        "PATH_INFO": path,
                        "QUERY_STRING": query,
                        "REQUEST_METHOD": self.command,
                        "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                        "CONTENT_LENGTH": str(size),
                        "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                        "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    },
                )
                head, _, body = done.stdout.partition(b"\r\n\r\n")
                self.send_response(200)
                for line in head.decode().splitlines():
                    name, _, value = line.partition(": ")
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/shop.git"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(repository: Repository) -> Iterator[GitServer]:
    server = GitServer(repository.bare.parent)
    yield server
    server.close()


def test_a_token_is_shown_to_the_repository_and_to_nobody_else(
    dg: Any, server: GitServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    project = {"repo_url": server.url, "repo_relative_path": "dbt", "branch": "main"}
    dg.says("shop", project={**project, "token": "{{ env.SHOP_TOKEN }}"})

    refresh(dg)

    assert "orders" in names(dg.load())
    secrets = (TOKEN, base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode())
    for file in (dg.package / "defs").rglob("*"):
        if file.is_file():
            assert not any(secret.encode() in file.read_bytes() for secret in secrets), file
    assert TOKEN not in repr(DbtProjectComponent(DbtGitProject(server.url, token=TOKEN)))


def test_a_refused_token_is_named_as_such_and_not_shown(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # It is of GitHub, and not told to others.
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    state = tmp_path / "state" / "state"
    for project in (
        DbtGitProject(server.url, token="notthetoken"),
        DbtGitProject(server.url),
        DbtGitProject(server.url.replace("://", "://me:notthetoken@")),
    ):
        with pytest.raises(Refused, match="the token may read the repository") as raised:
            DbtProjectComponent(project).write_state_to_path(state)
        assert "notthetoken" not in str(raised.value)
        assert "notthetoken" not in project.identity
    assert TOKEN not in "".join(server.asked)


def test_a_project_that_is_not_on_the_machine_is_loaded_from_what_was_kept_of_it(
    dg: Any, shop_dir: Path
):
    dg.says("shop", project={"project_dir": str(shop_dir)})
    refresh(dg)
    assert "orders" in names(dg.load())

    shop_dir.rename(shop_dir.with_name("gone"))
    defs = dg.load()

    assert "orders" in names(defs)
    asset = defs.resolve_assets_def(AssetKey("countries"))
    assert materialize([asset], selection=[AssetKey("countries")]).success

    shutil.rmtree(dg.package / "defs" / ".local_defs_state")
    assert "There is no folder" in why_not(dg, InvalidInput)


def test_a_project_around_the_definitions_is_not_copied_into_itself(dg: Any, shop_dir: Path):
    shutil.copytree(shop_dir, dg.root, dirs_exist_ok=True)
    dg.says("shop", project="{{ context.project_root }}")

    refresh(dg)
    refresh(dg)

    [copy] = dg.package.glob("defs/.local_defs_state/*/project")
    assert (copy / "dbt_project.yml").exists()
    assert not list(copy.rglob("state"))


def test_a_state_that_is_none_says_so(dg: Any, repository: Repository):
    dg.says("shop", project={"repo_url": repository.url, "repo_relative_path": "dbt"})
    refresh(dg)
    [state] = dg.package.glob("defs/.local_defs_state/*/state")
    state.write_text("")

    assert "is not the state of a DbtProjectComponent" in why_not(dg, InvalidInput)
    refresh(dg)
    assert "orders" in names(dg.load())
