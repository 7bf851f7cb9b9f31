"""The floor: what the same bytes and rows cost without us, measured in the same run on the same machine."""

import ssl
import time
from collections.abc import Sequence

import aiohttp
import asyncpg

from summit_simulator.cluster import SimulatedCluster

PAGE = 500


async def bare_download(cluster: SimulatedCluster, plurals: Sequence[str]) -> float:
    """Seconds to read the lists page by page over TLS, without looking at a byte but for the continue token."""
    assert cluster.authority is not None
    context = ssl.create_default_context(cadata=cluster.authority.certificate_pem.decode())
    headers = {"Authorization": f"Bearer {cluster.token}"}
    started = time.perf_counter()
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=context)) as session:
        for plural in plurals:
            token = ""
            while True:
                params = {"limit": str(PAGE)} | ({"continue": token} if token else {})
                async with session.get(f"{cluster.url}/apis/kubevirt.io/v1/{plural}", params=params) as answer:
                    body = await answer.read()
                token = body[-600:].partition(b'"continue":"')[2].partition(b'"')[0].decode()
                if not token:
                    break
    return time.perf_counter() - started


async def bare_copy(database: asyncpg.Connection) -> float:
    """Seconds to COPY the rows of vms and of its history into like tables without an index."""
    tables = {name: await database.fetch(f"SELECT * FROM {name}") for name in ("vms", "events")}  # noqa: S608
    started = time.perf_counter()
    async with database.transaction():
        for name, rows in tables.items():
            await database.execute(f"CREATE TABLE floor_{name} (LIKE {name})")
            await database.copy_records_to_table(f"floor_{name}", records=[tuple(row) for row in rows])
    taken = time.perf_counter() - started
    for name in tables:
        await database.execute(f"DROP TABLE floor_{name}")
    return taken
