"""A reader who is limited to a part of the fleet sees in every endpoint that part of what an unlimited reader sees.

The test cuts the unlimited answers by hand, by the datacenter and namespace of each object, and compares.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from support.api_stack import placed_vm
from support.feeding import FeedStack, ageless, feed_stack, listening
from support.published import OBSERVED_AT, cluster_event, datacenter_event, migration_event, unmanaged_event

from summit_api.access import tokens
from summit_api.access.identify import Access
from summit_api.access.policy import PolicyFile
from summit_api.access.principal import Scope
from summit_models.event import Event, VmEventType, source_of
from summit_models.vm import VmStatus

DATACENTERS = {"dc-solna": ("vulcan",), "dc-uppsala": ("romulus",), "dc-empty": ()}
SCOPES = [
    Scope(),
    Scope(datacenters=frozenset(["dc-solna"])),
    Scope(namespaces=frozenset(["prod"])),
    Scope(frozenset(["dc-uppsala"]), frozenset(["prod", "test"])),
    Scope(frozenset([*DATACENTERS, "dc-nowhere"]), frozenset(["dev", "nowhere"])),
    Scope(datacenters=frozenset()),
    Scope(namespaces=frozenset()),
]
TOKENS = [tokens.new_token() for _ in SCOPES]
LATER = OBSERVED_AT + timedelta(hours=1)
THEN = (OBSERVED_AT + timedelta(minutes=30)).isoformat()
Sees = Callable[[Mapping[str, Any]], bool]
View = dict[str, Any]


def fleet() -> list[Event]:
    """VMs in each cluster and namespace, some without a namespace; of each kind one that changed, left, or moved."""
    statuses = (VmStatus.RUNNING, VmStatus.STOPPED, VmStatus.PAUSED)
    places = [(d, c, n) for d, clusters in DATACENTERS.items() for c in clusters for n in ("prod", "test", "dev")]
    events: list[Event] = [datacenter_event(id=id_, name=id_, clusters=list(DATACENTERS[id_])) for id_ in DATACENTERS]
    for number, (datacenter, cluster, namespace) in enumerate(places):
        there = {"datacenter": datacenter, "cluster": cluster, "namespace": namespace}
        events += [placed_vm(name, status=statuses[number % 3], **there) for name in ("same", f"changed-{number}")]
        events += [placed_vm(f"gone-{number}", **there)]
        changed = placed_vm(f"changed-{number}", versions=(2, 0), time=LATER, status=VmStatus.ERROR, **there)
        events += [
            changed,
            placed_vm(f"gone-{number}", type_=VmEventType.DELETED, versions=(2, 0), time=LATER, **there),
        ]
        events += [placed_migration(f"m-{number}", datacenter, cluster, namespace, completed=number % 2 == 0)]
    events += [unmanaged_event("by-hand"), unmanaged_event("in-prod", namespace="prod")]
    events += [unmanaged_event("moving", namespace="prod")]
    events += [unmanaged_event("moving", time=LATER, namespace="prod", datacenter="dc-uppsala")]
    return events + [placed_cluster(name, id_) for id_, names in DATACENTERS.items() for name in names]


def placed_migration(name: str, datacenter: str, cluster: str, namespace: str, *, completed: bool) -> Event:
    event = migration_event(name, vm_name="same", namespace=namespace, completed=completed)
    data = event.data.model_copy(update={"datacenter_id": datacenter, "cluster": cluster})
    return event.model_copy(update={"data": data, "source": source_of(data.datacenter_id, data.cluster)})


def placed_cluster(name: str, datacenter: str) -> Event:
    event = cluster_event(name)
    data = event.data.model_copy(update={"datacenter": datacenter})
    return event.model_copy(update={"data": data, "source": source_of(data.datacenter, data.name)})


def state_of(event: Event) -> View:
    state = event.data.model_dump()
    return {"datacenter": state.get("datacenterId"), **state}


def line(number: int, scope: Scope, token: str) -> str:
    limits = {"datacenters": scope.datacenters, "namespaces": scope.namespaces}
    limited = "".join(f", {name}: {sorted(values)}" for name, values in limits.items() if values is not None)
    return f"- {{name: t{number}, role: viewer, sha256: {tokens.digest(token)}{limited}}}\n"


class Reader:
    """One token, and all that it can read."""

    def __init__(self, stack: FeedStack, token: str) -> None:
        self._stack = stack
        self._token = token
        self._headers = {"Authorization": f"Bearer {token}"}

    async def get(self, path: str, **parameters: Any) -> Any:
        answer = await self._stack.http.get(f"/api/v1{path}", params=parameters, headers=self._headers)
        return answer.json() if answer.status_code == 200 else answer.status_code

    async def lists(self) -> View:
        """Everything that shows more than one thing."""
        pages = {"now": {}, "then": {"at": THEN}, "found": {"q": "same"}, "in uppsala": {"datacenter": "dc-uppsala"}}
        asked = {name: await self.get("/vms", count="true", limit=500, **given) for name, given in pages.items()}
        clusters = [(c["name"], c["datacenter"]) for c in (await self.get("/clusters"))["items"]]
        migrations = ("", "/active", "/vm/same", "/datacenter/dc-solna", "/direction/unknown")
        return {
            **{f"vms {name}": [ageless(vm) for vm in page["items"]] for name, page in asked.items()},
            **{f"count {name}": page["count"] for name, page in asked.items()},
            **{f"migrations{path}": await self.get(f"/migrations{path}") for path in migrations},
            "datacenters": (await self.get("/datacenters"))["datacenters"],
            "clusters": clusters,
            "status now": counted(await self.get("/status")),
            "status then": counted(await self.get("/status", at=THEN)),
            **await self.feed(len(clusters)),
        }

    async def feed(self, clusters: int) -> View:
        """The snapshot that a feed begins with, and that many clusters after it."""
        async with listening(self._stack.http, token=self._token, snapshot="true") as client:
            await client.joined()
            await client.until(lambda: len(client.payloads("cluster:updated")) >= clusters)
        (done,) = client.payloads("snapshot:done")
        names = sorted(payload["cluster"]["name"] for payload in client.payloads("cluster:updated"))
        return {"feed": sorted(client.known()), "feed's count": done["vms"], "feed's clusters": names}

    async def each(self, vms: list[View], migrations: list[View]) -> View:
        """Everything that shows one object; 404 for an object that is not there."""
        found: View = {}
        for vm in vms:
            path = f"/vms/{vm['id']}"
            found[path] = ageful(await self.get(path))
            found[f"{path} then"] = ageful(await self.get(path, at=THEN))
            found[f"{path}/events"] = await self.history(path)
            if vm["cluster"]:
                where = "/datacenters/{datacenter}/clusters/{cluster}/namespaces/{namespace}/vms/{name}".format(**vm)
                found[where] = ageful(await self.get(where))
        for name in ("vulcan", "romulus"):
            found[name] = await self.history(f"/clusters/{name}")
        for migration in migrations:
            path = f"/migrations/{migration['id']}"
            found |= {path: await self.get(path), f"{path}/events": await self.history(path)}
        return found

    async def history(self, path: str) -> Any:
        """The revisions of an object's events."""
        events = await self.get(f"{path}/events")
        return events if events == 404 else [event["revision"] for event in events["items"]]


def ageful(answer: Any) -> Any:
    return ageless(answer) if isinstance(answer, dict) else answer


def counted(status: View) -> View:
    return {
        name: status[name] for name in ("datacenters", "running_vms", "stopped_vms", "total_vms", "byStatus", "stale")
    }


def cut_lists(everything: View, sees: Sees, scope: Scope) -> View:
    """The lists of an unlimited reader, cut to a scope."""
    vms = {name: list(filter(sees, vms)) for name, vms in everything.items() if name.startswith("vms ")}
    migrations = {
        name: [m for m in found if sees({"datacenter": m["datacenterId"], "namespace": m["namespace"]})]
        for name, found in everything.items()
        if name.startswith("migrations")
    }
    datacenters = [d for d in everything["datacenters"] if scope.allows_datacenter(d["id"])]
    clusters = [c for c in everything["clusters"] if scope.allows_datacenter(c[1])]
    return {
        **vms,
        **{name.replace("vms", "count"): len(found) for name, found in vms.items()},
        **migrations,
        "datacenters": [
            {**d, "vms": [v for v in d["vms"] if scope.allows(d["id"], v.get("namespace"))]} for d in datacenters
        ],
        "clusters": clusters,
        "status now": counts(vms["vms now"], len(datacenters), stale=True),
        "status then": counts(vms["vms then"], len(datacenters), stale=False),
        "feed": sorted(vm["id"] for vm in vms["vms now"]),
        "feed's count": len(vms["vms now"]),
        "feed's clusters": sorted(name for name, _ in clusters),
    }


def counts(vms: list[View], datacenters: int, *, stale: bool) -> View:
    running = sum(vm["status"] == "running" for vm in vms)
    return {
        "datacenters": datacenters,
        "running_vms": running,
        "stopped_vms": len(vms) - running,
        "total_vms": len(vms),
        "byStatus": {status: sum(vm["status"] == status for vm in vms) for status in VmStatus},
        "stale": sum(vm["stale"] for vm in vms) if stale else 0,
    }


def cut_each(everything: View, sees: Sees, revisions: Mapping[int, Mapping[str, Any]]) -> View:
    """The single objects, cut to a scope: an event of a history is visible where its object was then."""

    def cut(found: Any) -> Any:
        match found:
            case list():
                return [revision for revision in found if sees(revisions[revision])] or 404
            case {"datacenterId": datacenter, "namespace": namespace}:
                return found if sees({"datacenter": datacenter, "namespace": namespace}) else 404
            case dict():
                return found if sees(found) else 404
            case _:
                return found

    return {path: cut(found) for path, found in everything.items()}


async def test_limited_reader_sees_its_part_of_what_an_unlimited_one_sees(
    nats_url: str, database_url: str, tmp_path: Path
) -> None:
    """In lists, counts, pages of the past, histories, names, and the feed's snapshot, for any scope."""
    access = tmp_path / "access.yaml"
    access.write_text("tokens:\n" + "".join(map(line, range(len(SCOPES)), SCOPES, TOKENS)))
    async with feed_stack(nats_url, database_url, access=Access(policy=PolicyFile(access))) as stack:
        stack.http.headers["Authorization"] = f"Bearer {TOKENS[0]}"
        revisions = {await stack.publish(event): state_of(event) for event in fleet()}
        await stack.get("/api/v1/vms", revision=max(revisions))
        unlimited = Reader(stack, TOKENS[0])
        everything = await unlimited.lists()
        gone = [
            {"id": state["id"], "cluster": None} for state in revisions.values() if state["name"].startswith("gone")
        ]
        alike = [vm for vm in everything["vms now"] if vm["name"] != "same"]  # one in each place is enough
        things = ([*alike, *gone], everything["migrations"])
        each = await unlimited.each(*things)
        assert len(everything["vms now"]) == 15
        for scope, token in zip(SCOPES, TOKENS, strict=True):

            def sees(thing: Mapping[str, Any], scope: Scope = scope) -> bool:
                if "namespace" not in thing:  # a cluster
                    return scope.allows_datacenter(thing["datacenter"])
                return scope.allows(thing["datacenter"], thing["namespace"])

            reader = Reader(stack, token)
            assert await reader.lists() == cut_lists(everything, sees, scope), scope
            assert await reader.each(*things) == cut_each(each, sees, revisions), scope
