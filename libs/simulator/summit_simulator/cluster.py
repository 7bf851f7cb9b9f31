"""A simulated cluster: the one object that tests and the demo hold.

    async with SimulatedCluster("vulcan") as cluster:
        cluster.write_kubeconfig(path)
        vm = cluster.create_vm("web-1", namespace="prod", cores=2, memory="4Gi")
        await cluster.start(vm)
        cluster.faults.close_streams()

With speed 0 nothing happens by itself: `clock.advance` and `settle` move the clock. With speed 1 things take as long as
in KubeVirt, with speed 20 a twentieth of it.
"""

import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from summit_simulator.access import kubeconfig
from summit_simulator.access.authorization import Access
from summit_simulator.access.listener import Listener
from summit_simulator.access.tls import CertificateAuthority, server_context
from summit_simulator.api.acts import Act
from summit_simulator.api.faults import Faults
from summit_simulator.api.server import KEPT_REQUESTS, ApiServer, LoggedRequest
from summit_simulator.controllers import automatic_migrations
from summit_simulator.controllers.controllers import Controllers
from summit_simulator.objects import infrastructure
from summit_simulator.objects import virtual_machine_instance as instance
from summit_simulator.objects.clock import Clock
from summit_simulator.objects.manifest import Manifest, key, merge, metadata
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import (
    MIGRATIONS,
    NAMESPACES,
    RESOURCES,
    VIRTUALMACHINEINSTANCES,
    VIRTUALMACHINES,
    named,
)
from summit_simulator.objects.store import Saved, Store
from summit_simulator.objects.virtual_machine import Disks, Size, virtual_machine
from summit_simulator.virtapi import admission
from summit_simulator.virtapi.subresources import Handlers

Object = Mapping[str, Any]
_ACTIONS_OF_VMS = ("start", "stop", "restart", "migrate")
REFUSED = 400  # HTTP codes from here on


class SimulatedCluster:
    """One fake cluster on its own port."""

    def __init__(
        self,
        name: str,
        *,
        tls: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
        advertise_host: str | None = None,
        seed: int = 0,
        speed: float = 0.0,
        first_revision: int = 1000,
        history_events: int = 10_000,
        bookmark_seconds: float = 60.0,
        epoch: datetime | None = None,
    ) -> None:
        self.name = name
        self.advertise_host = advertise_host or host
        self.random = random.Random(f"{seed}/{name}")  # noqa: S311 - reproducible, not secret
        self.clock = Clock(speed=speed, epoch=epoch)
        self.store = Store(first_revision=first_revision, history_events=history_events)
        self.objects = Objects(self.store, self.clock, self.random)
        self.access = Access(f"{self.random.getrandbits(128):032x}")
        self.requests: deque[LoggedRequest] = deque(maxlen=KEPT_REQUESTS)
        self.authority = CertificateAuthority(f"{name}-ca") if tls else None
        self._listener = Listener(self._handle, host=host, port=port, tls=self._tls(host))
        self.controllers = Controllers(self.store, self.objects, self.clock)
        self.faults = Faults(self._listener, take_course=self.controllers.migrations.take)
        self.acts: deque[Act] = deque(maxlen=KEPT_REQUESTS)  # what clients had executed, refusals included
        self._subresources = Handlers(self.objects, self.clock, lambda: not self.faults.virt_handler_down)
        self._server = ApiServer(
            self.store,
            self.objects,
            self.access,
            self.faults,
            self.requests,
            self.acts,
            self._subresources,
            bookmark_seconds,
        )
        self._running = contextlib.AsyncExitStack()
        infrastructure.install(self.objects, cluster=name)

    async def __aenter__(self) -> Self:
        await self._listener.open()
        await self._running.enter_async_context(self.controllers.running())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.aclose()
        self.faults.acts.stop()
        self.faults.unfreeze()
        self.faults.close_streams()
        await self._listener.close()

    # Access from outside

    @property
    def port(self) -> int:
        """The port it listens on, or listened on before a fault closed it."""
        return self._listener.port

    @property
    def url(self) -> str:
        """The server, as kubeconfigs name it."""
        return f"{'https' if self.authority else 'http'}://{self.advertise_host}:{self.port}"

    @property
    def token(self) -> str:
        return self.access.token_of("admin")

    @property
    def uid(self) -> str:
        """The identity of the cluster: the uid of its kube-system namespace."""
        return str(metadata(self.objects.read(NAMESPACES, "", "kube-system"))["uid"])

    def write_kubeconfig(
        self, path: Path, *, user: str = "admin", credential: kubeconfig.Credential = "token", server: str | None = None
    ) -> Path:
        """Write a kubeconfig, mode 0600, with the CA embedded.

        A token file is written beside it as <stem>.token. Certificates need TLS.
        """
        identity = kubeconfig.credential(
            path, user, kind=credential, token_of=self.access.token_of, authority=self.authority
        )
        ca_pem = self.authority.certificate_pem if self.authority else None
        config = kubeconfig.render(name=self.name, server=server or self.url, user=identity, ca_pem=ca_pem)
        return kubeconfig.write(path, config)

    def _tls(self, host: str) -> Any:
        if self.authority is None:
            return None
        names = dict.fromkeys(("127.0.0.1", "localhost", host, self.advertise_host, "kubernetes.default.svc"))
        return server_context(self.authority, self.authority.issue_server(tuple(names)))

    async def _handle(self, request: Any) -> Any:
        return await self._server.handle(request)

    # Objects

    def create_vm(
        self,
        name: str,
        *,
        namespace: str = "default",
        cores: int = 1,
        memory: str = "2Gi",
        instancetype: str | None = None,
        run_strategy: str = "Halted",
        labels: Mapping[str, str] | None = None,
        disks: Sequence[str] = ("20Gi",),
        os: str = "fedora",
    ) -> Manifest:
        """Create a VM, and its namespace where that is missing.

        `disks` are sizes of DataVolumes. The VM is provisioned and started by the controller if its
        run strategy says so, as time passes.
        """
        self.objects.ensure_namespace(namespace)
        manifest = virtual_machine(
            name,
            namespace,
            size=Size(cores, memory, instancetype),
            disks=Disks(disks),
            run_strategy=run_strategy,
            labels=labels,
            os=os,
        )
        self.objects.create(VIRTUALMACHINES, manifest)
        return self.objects.read(VIRTUALMACHINES, namespace, name)

    def create(self, plural: str, manifest: Manifest) -> Manifest:
        """Create any object as it is, status included, for shapes that no webhook would let through.

        The controllers leave it alone until its next change; change it under `suspended()` to keep them away.
        """
        if namespace := metadata(manifest).get("namespace"):
            self.objects.ensure_namespace(namespace)
        with self.suspended():
            return self.objects.create(named(plural), manifest, part="all").manifest()

    def get(self, plural: str, name: str, namespace: str = "") -> Manifest | None:
        """Any object as it is now, None if there is none."""
        return self.objects.find(named(plural), namespace, name)

    def patch(self, plural: str, obj: Object, change: Manifest) -> Manifest:
        """Merge a change into an object, status included, as a controller could."""
        resource = named(plural)
        wanted = merge(self.objects.read(resource, *key(obj)), change)
        metadata(wanted).pop("resourceVersion", None)
        return self.objects.update(resource, wanted, part="all").manifest()

    def delete(self, plural: str, obj: Object) -> None:
        """Delete an object; what finalizers keep goes as time passes."""
        self.objects.delete(named(plural), *key(obj))

    def vm(self, obj: Object) -> Manifest | None:
        return self.objects.find(VIRTUALMACHINES, *key(obj))

    def vmi(self, obj: Object) -> Manifest | None:
        return self.objects.find(VIRTUALMACHINEINSTANCES, *key(obj))

    # Actions: as virtctl would ask for them, then settled

    async def start(self, vm: Object) -> None:
        """Start a VM and wait until it runs."""
        await self._act("start", vm)

    async def stop(self, vm: Object) -> None:
        """Stop a VM and wait until its VMI is gone."""
        await self._act("stop", vm)

    async def restart(self, vm: Object) -> None:
        """Restart a VM and wait until the new VMI runs."""
        await self._act("restart", vm)

    async def pause(self, vm: Object) -> None:
        await self._act("pause", vm)

    async def migrate(self, vm: Object) -> Manifest:
        """Migrate a VM and wait until that is done; returns the VMIM in its final phase."""
        migration = self.request_migration(vm)
        await self.settle()
        return self.objects.find(MIGRATIONS, *key(migration)) or migration

    def request(self, action: str, vm: Object, **options: Any) -> None:
        """Ask for an action as virtctl does, without waiting for what comes of it. Raises StatusError.

        start, stop, restart, migrate, pause, unpause, softreboot, reset, freeze or unfreeze; options are its body.
        """
        plural = "virtualmachines" if action in _ACTIONS_OF_VMS else "virtualmachineinstances"
        self._subresources.put(plural, action, key(vm), options)

    def request_migration(self, vm: Object, **spec: Any) -> Manifest:
        """Create a VirtualMachineInstanceMigration for the VMI of a VM; it takes its course with time."""
        namespace, name = key(vm)
        meta = {"generateName": f"{name}-migration-", "namespace": namespace}
        migration: Manifest = {"metadata": meta, "spec": {"vmiName": name} | spec}
        admission.admit_create(self.objects, MIGRATIONS, migration)
        return self.objects.create(MIGRATIONS, migration).manifest()

    def drain(self, node: str) -> None:
        """Cordon a node and let KubeVirt migrate its VMIs away."""
        automatic_migrations.drain(self.objects, node)

    def crash(self, vm: Object) -> None:
        """Let the guest fail: its VMI enters phase Failed, what follows is up to the run strategy."""
        vmi = self.objects.read(VIRTUALMACHINEINSTANCES, *key(vm))
        instance.end(vmi, "Failed", self.clock.now())
        self.objects.update(VIRTUALMACHINEINSTANCES, vmi, manager="virt-handler", part="all")

    async def _act(self, action: str, vm: Object) -> None:
        self.request(action, vm)
        await self.settle()

    # Time

    async def settle(self) -> None:
        """Let time pass until nothing is under way any more."""
        await self.controllers.settle()

    def stop_controllers(self) -> None:
        """Let virt-controller and virt-handler be down: what is asked for is accepted, and nothing comes of it."""
        self.controllers.stop()

    def start_controllers(self) -> None:
        """Let them be up again, and do what was asked for meanwhile."""
        self.controllers.start()

    def suspended(self) -> AbstractContextManager[None]:
        """Write objects while no controller looks at them: for seeding and benchmarks."""
        return self.controllers.suspended()

    @contextlib.contextmanager
    def unwatched(self) -> Iterator[None]:
        """Write objects of which no watch sends an event: a defect of the server that only a list brings to light."""
        self.store.is_watched = False
        try:
            yield
        finally:
            self.store.is_watched = True

    # History and identity

    def truth(self, *plurals: str) -> dict[str, dict[str, Manifest]]:
        """The oracle: what exists now, by plural and uid. Without arguments, everything."""
        chosen = [named(plural) for plural in plurals] or RESOURCES
        return {
            resource.plural: {record.uid: record.manifest() for record in self.store.records(resource)}
            for resource in chosen
        }

    def requests_for(self, plural: str = "", *, verb: str | None = None) -> list[LoggedRequest]:
        """The logged requests for a resource ("" is any) and verb, oldest first."""
        return [
            request for request in self.requests if plural in ("", request.resource) and verb in (None, request.verb)
        ]

    def acts_on(self, vm: Object, action: str | None = None) -> list[Act]:
        """What clients had executed on a VM, oldest first; without dry runs and refusals."""
        return [
            act
            for act in self.acts
            if (act.namespace, act.name) == key(vm)
            and action in (None, act.action)
            and not act.dry_run
            and act.code < REFUSED
        ]

    def forget_history(self) -> None:
        """Move the window of history to now: older resourceVersions and continue tokens are expired (410)."""
        self.store.forget_history()

    def backup(self) -> Saved:
        return self.store.save()

    def restore(self, backup: Saved) -> None:
        """Restore etcd without bumping the revision: resourceVersions jump back, every stream breaks."""
        self.store.restore(backup)
        self.controllers.migrations.resume()
        self.faults.close_streams(abort=True)

    def change_identity(self) -> str:
        """Become another cluster behind the same URL: kube-system gets another uid, which is returned."""
        return infrastructure.change_identity(self.store, self.objects)

    def uninstall(self, groups: frozenset[str]) -> None:
        """Let API groups be absent (404, text/plain); watches on them end cleanly. Objects are kept."""
        self._server.absent_groups |= groups
        for resource in RESOURCES:
            if resource.group in groups:
                self.faults.close_streams(resource.plural)

    def install(self, groups: frozenset[str]) -> None:
        """Serve the groups again."""
        self._server.absent_groups -= groups


@contextlib.asynccontextmanager
async def simulated_clusters(*names: str, **options: Any) -> AsyncIterator[list[SimulatedCluster]]:
    """Several clusters of one process, each on its own port."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(SimulatedCluster(name, **options)) for name in names]
