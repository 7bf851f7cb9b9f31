"""The watcher declares its datacenters in the log, beside people who edit them."""

from nats.aio.client import Client
from support.projecting import publisher
from support.published import DATACENTER

from summit_models.contract import DatacenterId
from summit_models.datacenter import Datacenter
from summit_models.event import DatacenterEvent
from summit_runtime.nats.consumer import last_per_subject
from summit_runtime.nats.stream import stream_state
from summit_watcher.config.datacenters import DatacenterConfig
from summit_watcher.log.datacenters import declare

CONFIG = [DatacenterConfig(DatacenterId(DATACENTER), "Solna"), DatacenterConfig(DatacenterId("dc-uppsala"), "Uppsala")]


async def newest(client: Client) -> dict[str, Datacenter]:
    events = [
        DatacenterEvent.model_validate_json(m.body) async for m in last_per_subject(client, "summit.datacenters.*")
    ]
    return {event.data.id: event.data for event in events}


async def test_each_datacenter_is_declared_once(nats_url: str) -> None:
    """The second start publishes nothing."""
    async with publisher(nats_url) as client:
        await declare(CONFIG, client)
        assert {id_: datacenter.name for id_, datacenter in (await newest(client)).items()} == {
            DATACENTER: "Solna",
            "dc-uppsala": "Uppsala",
        }
        await declare(CONFIG, client)
        assert (await stream_state(client)).last_sequence == 2
