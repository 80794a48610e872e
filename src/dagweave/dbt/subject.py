"""What the commands look at: a dbt project on disk, its manifest, and a selection of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from dagweave.dbt.listing import listed_by_dbt, selected_nodes
from dagweave.dbt.manifest import Manifest
from dagweave.dbt.project import DbtProject
from dagweave.dbt.select import EVERYTHING
from dagweave.dbt.telling import INDIRECT_SELECTION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dagweave.dbt.select import Indirect, Selected


@dataclass(frozen=True)
class Subject:
    """A selection of a project, as its manifest has it."""

    project: DbtProject
    select: str = EVERYTHING
    exclude: str = ""
    selector: str = ""

    @classmethod
    def at(
        cls,
        folder: Path,
        *,
        target: str | None = None,
        profile: str | None = None,
        state: Path | None = None,
        select: Sequence[str] = (),
        exclude: Sequence[str] = (),
        selector: str = "",
    ) -> Subject:
        """The project in a folder, and of it what the options of a command select.

        Raises:
            InvalidInput: There is no project.
        """
        project = DbtProject(
            folder,
            target_path=os.environ.get("DBT_TARGET_PATH") or "target",
            target=target,
            profile=profile,
            state_path=state.absolute() if state else None,
        )
        return cls(project, " ".join(select) or EVERYTHING, " ".join(exclude), selector)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest.

        Raises:
            InvalidInput: It cannot be read; says which command makes it.
        """
        return Manifest.of(self.project.manifest_path)

    @property
    def indirect(self) -> Indirect:
        """Which tests come along, as dbt's environment variable says."""
        return cast("Indirect", os.environ.get(INDIRECT_SELECTION) or "eager")

    @cached_property
    def selected(self) -> Selected:
        """What we say that is selected."""
        return selected_nodes(
            self.manifest,
            self.project,
            select=self.select,
            exclude=self.exclude,
            selector=self.selector,
            indirect=self.indirect,
        )

    @property
    def connection(self) -> list[str]:
        """The options by which dbt finds the warehouse."""
        profile = ["--profile", self.project.profile] if self.project.profile else []
        return [*profile, *(["--target", self.project.target] if self.project.target else [])]

    def selected_by_dbt(self) -> frozenset[str]:
        """What dbt itself says that is selected, from the files as they are now.

        Raises:
            WorkFailed: dbt failed; says why.
            InvalidInput: Likewise, and would again.
            MissingExtra: There is no dbt.
        """
        told = (
            ["--selector", self.selector]
            if self.selector
            else ["--select", *self.select.split()]
            + (["--exclude", *self.exclude.split()] if self.exclude.strip() else [])
        )
        return listed_by_dbt(self.project, told)
