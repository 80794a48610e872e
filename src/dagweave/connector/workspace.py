"""The resource of one account: its snapshot, its assets, its syncs."""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar
from weakref import WeakValueDictionary

from dagster import ConfigurableResource, EnvVar, get_dagster_logger
from pydantic import Field, PrivateAttr

from dagweave._dagster.snapshots import obtain
from dagweave._kernel.errors import InvalidInput
from dagweave._kernel.state import StateFile
from dagweave.connector.events import Synced, SyncEventIterator, events_of, failing_as_dagster_does
from dagweave.connector.journal import Journal
from dagweave.connector.runner import Manner, SyncRun
from dagweave.connector.specs import specs_of, the_one_connection
from dagweave.connector.vendor import Vendor

if TYPE_CHECKING:
    from dagster import AssetExecutionContext, AssetSpec

    from dagweave.connector.model import SyncedTable, SyncService, Wish

C = TypeVar("C")
D = TypeVar("D")
Selector = Callable[[Any], bool]

_lock = threading.RLock()
loaded: WeakValueDictionary[int, Any] = WeakValueDictionary()
"""The workspaces that definitions were made of in this process, for `dagweave connections`."""


@dataclass(frozen=True, slots=True)
class SnapshotAt(StateFile[D]):
    """A snapshot in a file that the user names."""

    at: str = ""

    @property
    def path(self) -> Path:
        """That file."""
        return Path(self.at)


class SyncWorkspace(ConfigurableResource[Any]):
    """An account of a vendor of hosted syncs. The vendors' resources are subclasses of it."""

    vendor: ClassVar[Vendor[Any]]

    base_url: str | None = Field(
        default=None,
        description="Where the API is: a proxy, or a local server. Without it, an environment "
        "variable of the vendor is asked.",
    )
    snapshot_path: str | None = Field(
        default=None,
        description="A file with a snapshot of the account, as `dagweave connections snapshot` "
        "writes it. The account itself is not asked then.",
    )
    request_max_retries: int = Field(
        default=3, description="How often a request is made again at most."
    )
    request_retry_delay: float = Field(
        default=0.25, description="The first pause before a request is made again, in seconds."
    )
    poll_interval: float = Field(
        default=10.0,
        description="How long it is waited between two looks at the syncs of the account, in "
        "seconds: one look serves all that run on this machine.",
    )
    poll_timeout: float | None = Field(
        default=None,
        description="Longest wait for a sync, in seconds. The sync itself is not stopped.",
    )
    on_paused: Literal["skip", "fail", "unpause"] = Field(
        default="skip", description="What to do about a connection that is paused."
    )
    wait_then_sync: bool = Field(
        default=False,
        description="If a sync runs already: wait until it has ended, then begin another, so that "
        "it covers all that was there when the step began.",
    )

    _data: Any = PrivateAttr(default=None)
    _ready: Any = PrivateAttr(default=None)
    _client: Any = PrivateAttr(default=None)

    @property
    def account(self) -> str:
        """Which account it is: no secret."""
        raise NotImplementedError

    @property
    def address(self) -> str:
        """Where its API is."""
        raise NotImplementedError

    @property
    def manner(self) -> Manner:
        """How its syncs are run."""
        raise NotImplementedError

    def kept_client(self, make: Callable[[], C]) -> C:
        """One client for all that the workspace asks, with its connections and its token."""
        with _lock:
            if self._client is None:
                self._client = make()
            return self._client

    def service(self) -> SyncService:
        """The account, spoken to with five verbs."""
        raise NotImplementedError

    def resolved(self) -> Self:
        """The same, where what is an `EnvVar` has its value."""
        given = [getattr(self, name) for name in type(self).model_fields]
        if not any(isinstance(value, EnvVar) for value in given):
            return self
        with _lock:
            if self._ready is None:
                self._ready = self.process_config_and_initialize()
            return self._ready

    def state_file(self) -> StateFile[Any]:
        """Where the last snapshot is kept."""
        ready, vendor = self.resolved(), self.vendor
        whose = f"{ready.account} at {ready.address}"
        args: tuple[Any, ...] = (vendor.area, ready.account, vendor.data, vendor.format, whose)
        return (
            SnapshotAt(*args, at=ready.snapshot_path) if ready.snapshot_path else StateFile(*args)
        )

    def data(self) -> Any:
        """The snapshot that definitions are made of. Asks the account only if it has to.

        Raises:
            DagweaveError: There is no snapshot, and none could be taken; or `snapshot_path` names
                none that fits.
        """
        with _lock:
            loaded[id(self)] = self
            if self._data is None:
                self._data = self._obtained()
            return self._data

    def write_snapshot(self, path: Path) -> None:
        """Ask the account, and write what there is to a file, for `snapshot_path`.

        Raises:
            InvalidInput: The file cannot be written.
        """
        ready, vendor = self.resolved(), self.vendor
        whose = f"{ready.account} at {ready.address}"
        file = SnapshotAt(
            vendor.area, ready.account, vendor.data, vendor.format, whose, at=os.fspath(path)
        )
        file.write(ready.service().snapshot())

    def hold(self, data: Any) -> None:
        """Take a snapshot that somebody else keeps."""
        with _lock:
            loaded[id(self)] = self
            self._data = data

    def _obtained(self) -> Any:
        file = self.state_file()
        if not isinstance(file, SnapshotAt):
            return obtain(file, self.resolved().service().snapshot).data
        found = file.read()
        if found is None:
            raise InvalidInput(
                f"There is no snapshot of {self.vendor.name} at {os.fspath(file.path)!r}.",
                remedy="Write one: dagweave connections snapshot --output " + file.at,
            )
        return found.data

    def tables(self, selector: Selector | None = None) -> Iterator[SyncedTable]:
        """The tables of all connections that are selected."""
        data = self.data()
        for id_, connection in self.vendor.connections(data).items():
            if selector is None or selector(connection):
                yield from self.vendor.tables(data, id_)

    def specs(self, translator: Any, selector: Selector | None = None) -> list[AssetSpec]:
        """The assets of all tables of the connections that are selected."""
        return specs_of(self.vendor, self.tables(selector), self.checked(translator))

    def connection_specs(
        self, connection_id: str, translator: Any, selector: Selector | None = None
    ) -> list[AssetSpec]:
        """The assets of the tables of one connection.

        Raises:
            InvalidInput: There is none of this id; names the nearest.
        """
        data, vendor = self.data(), self.vendor
        known = vendor.connections(data)
        if connection_id not in known:
            raise no_such_connection(vendor, self.resolved().account, connection_id, known)
        wanted = selector is None or selector(known[connection_id])
        tables: Iterable[SyncedTable] = vendor.tables(data, connection_id) if wanted else ()
        specs = specs_of(vendor, tables, self.checked(translator))
        if not specs:
            get_dagster_logger().warning(
                f"{vendor.name} connection {connection_id!r} ({known[connection_id].name}) has no "
                "tables, and so no assets. Before its first sync, they are not known."
            )
        return specs

    def checked(self, translator: Any) -> Any:
        """The translator, or the vendor's own in its absence.

        Raises:
            InvalidInput: It is the class of one, and not an instance.
        """
        if isinstance(translator, type):
            raise InvalidInput(
                f"{translator.__name__} is a class.",
                remedy=f"Give an instance: {translator.__name__}()",
            )
        return translator or self.vendor.translator()

    def run_sync(self, context: AssetExecutionContext, wish: Wish) -> SyncEventIterator:
        """Sync the connection whose tables the step makes, and say what came out."""
        service = self.service()
        synced = failing_as_dagster_does(self._synced(context, wish, service))
        return SyncEventIterator(synced, service, context)

    def _synced(
        self, context: AssetExecutionContext, wish: Wish, service: SyncService
    ) -> Iterator[Synced]:
        connection_id = the_one_connection(self.vendor, context.assets_def.specs)
        journal = Journal(context, connection_id)
        run = SyncRun(service, connection_id, wish, self.manner, journal, get_dagster_logger())
        ended = run.to_the_end()
        if ended is not None:
            yield from events_of(self.vendor, context, service.tables(*ended))


def no_such_connection(
    vendor: Vendor[Any], account: str, connection_id: str, known: Mapping[str, Any]
) -> InvalidInput:
    """The error that names the nearest."""
    names = {connection.name: id_ for id_, connection in known.items()}
    near = difflib.get_close_matches(connection_id, [*known, *names], n=3)
    shown = ", ".join(
        f"{names.get(each, each)} ({known[names.get(each, each)].name})" for each in near
    )
    return InvalidInput(
        f"{vendor.name} account {account!r} has no connection {connection_id!r}.",
        seen=f"Nearest: {shown}." if near else f"It has {len(known)} connections.",
        remedy="See them: dagweave connections list. If it is new, renew the snapshot: "
        "dagweave refresh.",
    )
