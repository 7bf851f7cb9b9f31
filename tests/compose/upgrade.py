"""The data of an earlier version, put onto the volumes before the first start.

There is no release yet. It is the oldest data directory that the tests keep, with the stream and the tables of schema
revision 0008, and three VMs that were added by hand. See tests/integration/projector/recorded.
"""

import lzma
import tarfile
from io import BytesIO

from compose.project import Project, docker
from compose.stack import Stack
from support.paths import ROOT
from support.waiting import until

RECORDED = ROOT / "tests/integration/projector/recorded/data_directory_0008.tar.xz"
NATS_USER = 10001
BY_HAND = {"by-hand-1": 2, "by-hand-3": 1}
"""VMs that exist, and how many entries their history has."""


async def restore(project: Project) -> None:
    """Fill the volumes of NATS and Postgres."""
    with lzma.open(RECORDED) as packed, tarfile.open(fileobj=packed) as archive:
        stream, tables = _stream(archive), archive.extractfile("tables.sql")
        assert tables
        await project.compose("create", "nats")
        (nats,) = (await project.compose("ps", "--all", "--quiet", "nats")).split()
        await docker("cp", "-", f"{nats}:/data", given=stream)
        await project.compose("up", "--detach", "--wait", "nats", "postgres")
        psql = ("exec", "-T", "postgres", "psql", "--quiet", "--username=summit", "--set=ON_ERROR_STOP=1")
        await project.compose(*psql, given=tables.read())


def _stream(archive: tarfile.TarFile) -> bytes:
    """What lies below nats/, as a tar of its own, owned by the user of the container."""
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as result:
        for member in archive.getmembers():
            root, _, name = member.name.partition("/")
            if root == "nats" and name:
                content = archive.extractfile(member)
                result.addfile(member.replace(name=name, uid=NATS_USER, gid=NATS_USER), content)
    return packed.getvalue()


async def nothing_is_lost(stack: Stack) -> None:
    """The VMs that no cluster has are still there, with their histories. Raises AssertionError."""
    for uid, entries in BY_HAND.items():
        history = await until(lambda uid=uid: stack.get(f"/api/v1/vms/{uid}/events"))
        assert len(history["items"]) == entries, (uid, history)
