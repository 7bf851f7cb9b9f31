"""What virtctl and kubectl ask of the VM prod/web of a simulated cluster, over HTTP."""

from typing import Any

from support.simulator_client import Answer, Client

from summit_simulator import SimulatedCluster

KUBEVIRT = "/apis/kubevirt.io/v1/namespaces/prod"
SUBRESOURCES = "/apis/subresources.kubevirt.io/v1/namespaces/prod"
MIGRATIONS = f"{KUBEVIRT}/virtualmachineinstancemigrations"
WEB = f"{KUBEVIRT}/virtualmachines/web"
MERGE = {"Content-Type": "application/merge-patch+json"}
PLACE = {"metadata": {"namespace": "prod", "name": "web"}}
OF_VMS = ("start", "stop", "restart", "migrate")


class Virtctl:
    """Requests about the VM prod/web, and a look at what came of them."""

    def __init__(self, client: Client, cluster: SimulatedCluster) -> None:
        self.client = client
        self.cluster = cluster

    async def create(self, strategy: str = "Halted", **options: Any) -> dict[str, Any]:
        """Create the VM and let it come to rest."""
        vm = self.cluster.create_vm("web", namespace="prod", run_strategy=strategy, **options)
        await self.cluster.settle()
        return vm

    async def ask(self, action: str, body: Any = None, *, name: str = "web", **options: Any) -> Answer:
        """PUT a subresource."""
        plural = "virtualmachines" if action in OF_VMS else "virtualmachineinstances"
        return await self.client.request("PUT", f"{SUBRESOURCES}/{plural}/{name}/{action}", body, **options)

    async def patch(self, change: Any, *, query: str = "") -> Answer:
        """Merge a change into the VM."""
        return await self.client.request("PATCH", WEB + query, change, headers=MERGE)

    async def resize(self, *, query: str = "", **domain: Any) -> Answer:
        """Merge a change into the domain of the VM's template."""
        return await self.patch({"spec": {"template": {"spec": {"domain": domain}}}}, query=query)

    async def migrate(self, name: str = "m", *, query: str = "", **spec: Any) -> Answer:
        """Create a migration of that name."""
        body = {"metadata": {"name": name}, "spec": {"vmiName": "web"} | spec}
        return await self.client.request("POST", MIGRATIONS + query, body)

    @property
    def vm(self) -> dict[str, Any]:
        return self.cluster.vm(PLACE) or {}

    @property
    def vmi(self) -> dict[str, Any]:
        return self.cluster.vmi(PLACE) or {}

    def migration(self, name: str = "m") -> dict[str, Any]:
        """The migration, {} if there is none."""
        return self.cluster.get("virtualmachineinstancemigrations", name, "prod") or {}

    def migrations(self) -> list[dict[str, Any]]:
        """All migrations, in the order of their names."""
        plural = "virtualmachineinstancemigrations"
        return sorted(self.cluster.truth(plural)[plural].values(), key=lambda one: str(one["metadata"]["name"]))

    @property
    def phase(self) -> str:
        """The phase of the VMI, "" without one."""
        return str(self.vmi.get("status", {}).get("phase", ""))

    @property
    def shown(self) -> str:
        """The printableStatus of the VM."""
        return str(self.vm["status"]["printableStatus"])

    @property
    def requested(self) -> list[dict[str, Any]]:
        """status.stateChangeRequests of the VM."""
        return list(self.vm["status"].get("stateChangeRequests", []))

    def condition(self, kind: str, *, of: dict[str, Any] | None = None) -> dict[str, Any]:
        """A condition of the VMI, or of another object; {} if it is absent."""
        listed = (of or self.vmi)["status"].get("conditions", [])
        return next((dict(one) for one in listed if one["type"] == kind), {})

    def be_migratable(self, status: str, **fields: Any) -> None:
        """Let the VMI be live-migratable or not, for a reason."""
        self.set_condition("LiveMigratable", status, **fields)

    def set_condition(self, kind: str, status: str, *, plural: str = "virtualmachineinstances", **fields: Any) -> None:
        """Give the VMI, or the VM, a condition."""
        obj = self.cluster.get(plural, "web", "prod") or {}
        rest = [one for one in obj["status"].get("conditions", []) if one["type"] != kind]
        conditions = [*rest, {"type": kind, "status": status, **fields}]
        with self.cluster.suspended():
            self.cluster.patch(plural, obj, {"status": {"conditions": conditions}})


def refusal(answer: Answer) -> tuple[int, str]:
    """The code and the message of a Status that says no."""
    body = answer.json()
    assert (body["kind"], body["status"], body["code"]) == ("Status", "Failure", answer.code)
    return answer.code, body["message"]
