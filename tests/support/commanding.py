"""The `summit-connect` command against an api at an address, and a watcher that the test plays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from support.acting import Acting, acting
from support.api_stack import served
from support.feeding import begun
from support.waiting import until
from typer.testing import CliRunner, Result

from summit_api.access.identify import Access
from summit_models.subject import OPERATIONS
from summit_runtime.waiting import end
from summit_standalone.cli import app


@dataclass
class Commanding:
    """`url` is the address of the api, or of a proxy before it."""

    api: Acting
    url: str
    environment: dict[str, str] = field(default_factory=dict)

    async def run(self, *arguments: str) -> Result:
        """Run the command to its end, in a thread of its own, without a terminal."""
        environment = {"SUMMIT_URL": self.url, "SUMMIT_TOKEN": "", "COLUMNS": "200"} | self.environment
        return await asyncio.to_thread(CliRunner(env=environment).invoke, app, arguments)

    def start(self, *arguments: str) -> asyncio.Task[Result]:
        """Run the command while the test goes on."""
        return asyncio.create_task(self.run(*arguments))

    async def asked(self, count: int = 1) -> list[str]:
        """The ids of the operations that have been asked for, when there are so many."""
        subjects = await until(lambda: self.api.newest(OPERATIONS), lambda found: len(found) >= count)
        return [subject.rpartition(".")[2] for subject in subjects]

    async def followed(self) -> None:
        """Wait until the command follows the feed."""

        async def metrics() -> str:
            return (await self.api.http.get("/metrics")).text

        await until(metrics, lambda text: "summit_feed_clients 1.0" in text)


@asynccontextmanager
async def commanding(nats_url: str, database_url: str, access: Access | None = None) -> AsyncIterator[Commanding]:
    """Solna has `erp`, which runs and can be migrated, `web`, which is stopped, and `db`, which cannot be migrated."""
    async with acting(nats_url, database_url, access) as api:
        following = asyncio.create_task(api.services.feed.follow())
        try:
            async with serving(api) as stack:
                yield stack
        finally:
            await end(following)


@asynccontextmanager
async def serving(api: Acting) -> AsyncIterator[Commanding]:
    """An api whose feed follows, at an address."""
    feed = api.services.feed
    async with served(api.app, before_end=feed.hub.close) as url:
        await begun(feed)
        yield Commanding(api, url)
