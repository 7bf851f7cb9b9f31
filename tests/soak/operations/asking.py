"""People who ask for operations by HTTP while everything breaks, and who repeat a request until it is answered."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2
from soak.world import Site, World

from summit_models.operation import Action
from summit_simulator.objects.manifest import Manifest, metadata, part
from summit_simulator.objects.resources import VIRTUALMACHINES

REQUESTS_A_SECOND = 0.8
"""In each cluster."""
ANSWER_SECONDS = 3.0
"""How long an answer is waited for; under chaos it is often given up, and the request repeated."""
DRY_RUN_SECONDS = 30.0
"""The api waits for the outcome of a dry run."""
PATIENCE_SECONDS = 30.0
"""How long a request is repeated. What nobody has answered by then may be stored or not."""
SUITABLE = {
    "Running": (Action.STOP, Action.RESTART, Action.PAUSE, Action.SOFTREBOOT, Action.RESET, Action.MIGRATE),
    "Paused": (Action.UNPAUSE, Action.STOP),
    "Stopped": (Action.START, Action.RESIZE),
}
"""By KubeVirt's status; a request for something else is answered as well, by a refusal in most cases."""


@dataclass(kw_only=True)
class Asked:
    """One request of a person, sent as often as needed, and all that was answered."""

    action: Action
    vm_id: str
    cluster: str
    dry_run: bool
    answers: list[int] = field(default_factory=list)
    """Codes, in their order; 0: there was no answer."""
    ids: set[str] = field(default_factory=set)
    """Operations that were acknowledged: one, if all is well."""

    @property
    def is_refused(self) -> bool:
        """The answer was that nothing is stored."""
        return bool(self.answers) and 400 <= self.answers[-1] < 500 and self.answers[-1] != 429

    @property
    def is_unanswered(self) -> bool:
        """It may be stored or not: an attempt without an answer also after a later one was refused."""
        return not self.ids and not (self.is_refused and all(200 <= code < 500 for code in self.answers))


class People:
    """The people of all clusters."""

    def __init__(self, world: World, seed: int, most_seconds: int) -> None:
        """`most_seconds`: the longest deadline that they ask for."""
        self._world = world
        self._most_seconds = most_seconds
        self._random = random.Random(f"people/{seed}")  # noqa: S311  reproducible, not secret
        self._seed = seed
        self._count = 0
        self.asked: list[Asked] = []
        self.cancels: list[int] = []
        """Codes of the answers."""

    async def run(self) -> None:
        """Ask for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await asyncio.sleep(self._random.expovariate(REQUESTS_A_SECOND * len(self._world.sites)))
                site = self._random.choice(self._world.sites)
                if vm := self._any(site):
                    tasks.create_task(self._person(site, vm))

    def _any(self, site: Site) -> Manifest | None:
        records = site.cluster.store.records(VIRTUALMACHINES)
        return self._random.choice(records).manifest() if records else None

    async def _person(self, site: Site, vm: Manifest) -> None:
        action = self._action(vm)
        asked = Asked(action=action, vm_id=metadata(vm)["uid"], cluster=site.name, dry_run=self._random.random() < 0.1)
        self.asked.append(asked)
        self._count += 1
        await self._ask(asked, self._body(action), metadata(vm)["name"], f"{self._seed}-{self._count}")
        if asked.ids and self._random.random() < 0.1:
            await asyncio.sleep(self._random.uniform(0, 5))
            await self._cancel(next(iter(asked.ids)))

    def _action(self, vm: Manifest) -> Action:
        suitable = SUITABLE.get(str(part(vm, "status").get("printableStatus")), ())
        if suitable and self._random.random() < 0.8:
            return self._random.choice(suitable)
        return self._random.choice(tuple(Action))

    def _body(self, action: Action) -> Mapping[str, Any]:
        body: dict[str, Any] = {"timeout": self._random.randint(3, self._most_seconds)}
        match action:
            case Action.START if self._random.random() < 0.2:
                body["paused"] = True
            case Action.STOP if self._random.random() < 0.3:
                body["force"] = True
            case Action.RESIZE:
                body["cpu"] = 8 * self._random.randrange(1, 4)
                body["memory"] = 1024 * self._random.randrange(1, 9)
        return body

    async def _ask(self, asked: Asked, body: Mapping[str, Any], name: str, key: str) -> None:
        """Send the request until it is answered; now and then once more, as if the answer had been lost."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        while loop.time() < until:
            await self._send(asked, body, name, key)
            if (asked.ids or asked.is_refused) and self._random.random() < 0.8:
                return
            if asked.is_refused and asked.ids:
                return
            await asyncio.sleep(self._random.uniform(0.2, 2.0))

    async def _send(self, asked: Asked, body: Mapping[str, Any], name: str, key: str) -> None:
        path = f"/api/v1/vms/{asked.vm_id}"
        parameters = {"dryRun": "true"} if asked.dry_run else {}
        if asked.action is Action.DELETE:
            parameters["name"] = name
        else:
            path += f"/{asked.action}"
        code = 0
        with suppress(httpx2.HTTPError):
            answer = await self._world.http.request(
                "DELETE" if asked.action is Action.DELETE else "POST",
                path,
                params=parameters,
                json=body,
                headers={"Idempotency-Key": key},
                timeout=DRY_RUN_SECONDS if asked.dry_run else ANSWER_SECONDS,
            )
            code = answer.status_code
            if answer.is_success:
                asked.ids.add(answer.json()["id"])
        asked.answers.append(code)

    async def _cancel(self, id_: str) -> None:
        with suppress(httpx2.HTTPError):
            answer = await self._world.http.delete(f"/api/v1/operations/{id_}", timeout=ANSWER_SECONDS)
            self.cancels.append(answer.status_code)
