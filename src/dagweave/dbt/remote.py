"""Fetch a dbt project from a git repository.

Without `from __future__ import annotations`: Dagster reads the annotations of these classes.
"""

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit, urlunsplit

from dagster import Resolvable, Resolver

from dagweave._kernel.errors import (
    DagweaveError,
    InvalidInput,
    MissingExtra,
    Refused,
    Unavailable,
    WaitTimeout,
)
from dagweave._kernel.redact import redact
from dagweave.dbt.project import DbtProject

_LONGEST_FETCH_S: Final = 600.0
# Any user does for GitHub, GitLab and Azure; who needs another says it in the URL.
_USER: Final = "x-access-token"
_REFUSED: Final = re.compile(
    r"authentication failed|could not read (username|password)|permission denied"
    r"|returned error: (401|403|404)|repository .* not found|does not (exist|appear to be)",
    re.IGNORECASE,
)
_WRONG: Final = re.compile(
    r"remote branch .* not found|unable to find remote helper", re.IGNORECASE
)


@dataclass
class DbtGitProject(Resolvable):
    """A dbt project in a git repository, in YAML."""

    repo_url: str
    repo_relative_path: Annotated[
        str,
        Resolver.default(
            description="The folder of the dbt project in the repository.",
            examples=["dbt/shop"],
        ),
    ] = "."
    token: Annotated[
        str | None,
        Resolver.default(
            description="What lets us read the repository over HTTPS. For github.com, the variable "
            "GITHUB_TOKEN by default.",
            examples=["{{ env.GITHUB_TOKEN }}"],
        ),
    ] = field(default=None, repr=False)
    branch: Annotated[
        str | None,
        Resolver.default(
            description="A branch or a tag. By default, the branch that the repository names.",
            examples=["main"],
        ),
    ] = None
    profile: Annotated[
        str | None,
        Resolver.default(description="The profile to use, if not the one that the project names."),
    ] = None
    target: Annotated[
        str | None,
        Resolver.default(
            description="The target of the profile to use, if not its default.",
            examples=["prod"],
        ),
    ] = None

    def __repr__(self) -> str:
        return f"DbtGitProject({self.identity})"

    @property
    def public_url(self) -> str:
        """The URL, without a secret that it may have."""
        parts = urlsplit(self.repo_url)
        if not parts.scheme or "@" not in parts.netloc:
            return self.repo_url
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @property
    def identity(self) -> str:
        """What tells it from another: its URL, and whatever else is said of it."""
        path = self.repo_relative_path if self.repo_relative_path != "." else None
        said = {"path": path, "branch": self.branch, "profile": self.profile, "target": self.target}
        rest = [f"{name}={value}" for name, value in said.items() if value]
        return ",".join([self.public_url, *rest])

    def project_in(self, clone: Path) -> DbtProject:
        """The project in a clone of the repository.

        Raises:
            InvalidInput: It has no such folder, or that is no dbt project.
        """
        folder = clone / self.repo_relative_path
        if not folder.is_dir():
            raise InvalidInput(
                f"The repository {self.public_url} has no folder {self.repo_relative_path}.",
                remedy="Say where in it the dbt project lies: repo_relative_path.",
            )
        return DbtProject(folder, profile=self.profile, target=self.target)

    def newest(self) -> str:
        """The commit that the branch now stands at.

        Raises:
            DagweaveError: As `clone`.
        """
        name = self.branch
        wanted = [f"refs/heads/{name}", f"refs/tags/{name}"] if name else ["HEAD"]
        lines = self._git(["ls-remote", "--", self.repo_url, *wanted]).splitlines()
        if not lines:
            raise InvalidInput(
                f"The repository {self.public_url} has no branch and no tag {name}."
                if name
                else f"The repository {self.public_url} has no commit.",
            )
        return lines[0].split()[0]

    def clone(self, folder: Path) -> None:
        """Fetch the files of the repository, without its history, into a folder that is made.

        Raises:
            Refused: The repository is not there, or not for us.
            Unavailable: It could not be reached.
            InvalidInput: It has no such branch.
            MissingExtra: There is no git.
            WaitTimeout: It takes longer than ten minutes.
        """
        branch = ["--branch", self.branch] if self.branch else []
        argv = ["clone", "--quiet", "--depth", "1", *branch, "--", self.repo_url, str(folder)]
        self._git(argv)
        # It names the URL, and whatever secret that may have.
        shutil.rmtree(folder / ".git")

    def _git(self, argv: Sequence[str]) -> str:
        try:
            done = subprocess.run(
                ["git", *argv],  # noqa: S607 -- whichever git the user has
                env={**os.environ, **_PATIENCE, **self._authorization()},
                stdin=subprocess.DEVNULL,
                # Without a terminal, ssh cannot ask either.
                start_new_session=True,
                capture_output=True,
                text=True,
                check=False,
                timeout=_LONGEST_FETCH_S,
            )
        except FileNotFoundError as error:
            raise MissingExtra(
                f"There is no git to fetch {self.public_url} with.", remedy="Install git."
            ) from error
        except subprocess.TimeoutExpired:
            raise WaitTimeout(
                f"git took longer than {_LONGEST_FETCH_S:g} s to fetch {self.public_url}."
            ) from None
        if done.returncode != 0:
            raise self._error(done.stderr)
        return done.stdout

    def _error(self, said: str) -> DagweaveError:
        what = f"The dbt project of {self.public_url} could not be fetched."
        seen = redact(said.replace(self.repo_url, self.public_url), self._secrets()).strip()
        if _WRONG.search(said):
            return InvalidInput(what, seen=seen)
        if _REFUSED.search(said):
            remedy = "Check repo_url, and that the token may read the repository."
            return Refused(what, seen=seen, remedy=remedy)
        return Unavailable(what, seen=seen)

    def _secrets(self) -> list[str]:
        password = urlsplit(self.repo_url).password if "://" in self.repo_url else None
        return [secret for secret in (self._token(), password) if secret]

    def _token(self) -> str | None:
        if self.token:
            return self.token
        # A token of GitHub is not told to others.
        is_github = urlsplit(self.repo_url).hostname == "github.com"
        return os.environ.get("GITHUB_TOKEN") if is_github else None

    def _authorization(self) -> Mapping[str, str]:
        """Variables that tell git the token: other users see a command line, but not these.

        https://git-scm.com/docs/git-config#Documentation/git-config.txt-GITCONFIGCOUNT
        """
        parts = urlsplit(self.repo_url)
        token = self._token()
        if token is None or parts.scheme not in ("http", "https"):
            return {}
        pair = base64.b64encode(f"{parts.username or _USER}:{token}".encode()).decode()
        host = parts.netloc.rpartition("@")[2]
        before = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
        return {
            "GIT_CONFIG_COUNT": str(before + 1),
            f"GIT_CONFIG_KEY_{before}": f"http.{parts.scheme}://{host}/.extraHeader",
            f"GIT_CONFIG_VALUE_{before}": f"Authorization: Basic {pair}",
        }


# It asks nobody, speaks English, and gives up on a line that says nothing for a minute.
_PATIENCE: Final = {
    "GIT_TERMINAL_PROMPT": "0",
    "GCM_INTERACTIVE": "never",
    "GIT_HTTP_LOW_SPEED_LIMIT": "1",
    "GIT_HTTP_LOW_SPEED_TIME": "60",
    "LC_ALL": "C",
}
