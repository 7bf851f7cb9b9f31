"""Keep the VMs of a datacenter as they are now: python present_state.py nats://user:password@127.0.0.1:4222 dc-solna"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy


class Vms:
    def __init__(self) -> None:
        self.events: dict[str, tuple[dict[str, Any], int]] = {}  # by subject: the last event, and its revision
        self.epochs: dict[str, list[tuple[int, int]]] = {}  # by cluster: each epoch, and where it began

    def apply(self, msg: Msg) -> None:
        event, revision = json.loads(msg.data), msg.metadata.sequence.stream
        if msg.subject.startswith("summit.clusters."):
            earlier = [(start["epoch"], start["revision"]) for start in event.get("fences", [])]
            self.epochs[event["source"]] = [*earlier, (event.get("epoch", 0), event.get("began") or revision)]
        elif self.is_stale(event, revision):
            pass  # a watcher that had lost the cluster published it
        elif event["type"] == "summit.vm.deleted":
            self.events.pop(msg.subject, None)
        else:
            self.events[msg.subject] = event, revision

    def is_stale(self, event: dict[str, Any], revision: int) -> bool:
        starts = self.epochs.get(event["source"], [])
        return any(event.get("epoch", 0) < epoch and revision > began for epoch, began in starts)

    def present(self) -> list[dict[str, Any]]:
        return [event["data"] for event, revision in self.events.values() if not self.is_stale(event, revision)]


async def read(nc: Client, datacenter: str, show: Callable[[list[dict[str, Any]]], None]) -> None:
    inbox = await nc.subscribe(nc.new_inbox())
    config = ConsumerConfig(
        deliver_subject=inbox.subject,
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
        filter_subjects=[f"summit.clusters.{datacenter}.>", f"summit.vms.{datacenter}.>"],
        ack_policy=AckPolicy.NONE,
        flow_control=True,
        idle_heartbeat=5,
    )
    consumer = await nc.jetstream().add_consumer("SUMMIT", config)
    vms, received = Vms(), 0
    if not consumer.num_pending:
        show([])
    while True:
        msg = await inbox.next_msg(timeout=15)  # longer than two heartbeats: the consumer or the server is gone
        if msg.headers and "Status" in msg.headers:
            if msg.reply:  # how fast may the server send?
                await msg.respond(b"")
        elif (received := received + 1) != msg.metadata.sequence.consumer:
            raise ConnectionError("a message is missing")
        else:
            vms.apply(msg)
            if not msg.metadata.num_pending:  # what was there has arrived, and each change is one message from now on
                show(vms.present())


async def follow(url: str, datacenter: str, show: Callable[[list[dict[str, Any]]], None]) -> None:
    while True:  # from the beginning after each break: the log may be another one, and lost events come again
        try:
            user = urlsplit(url.partition(",")[0]).username
            inbox = f"_INBOX_{user}" if user else "_INBOX"  # a user may read only its own
            nc = await nats.connect(url.split(","), inbox_prefix=inbox, allow_reconnect=False, ping_interval=10)
            async with nc:
                await read(nc, datacenter, show)
        except (NatsError, OSError, TimeoutError) as error:
            print(f"broken off: {error!r}", file=sys.stderr)
            await asyncio.sleep(1)


if __name__ == "__main__":
    _, url, datacenter = sys.argv
    asyncio.run(follow(url, datacenter, lambda vms: print(len(vms), "VMs:", sorted(vm["name"] for vm in vms))))
