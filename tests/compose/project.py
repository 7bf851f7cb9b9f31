"""A project of docker compose with a name of its own: its containers are started, broken and removed, nobody else's."""

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.paths import ROOT

COMMAND_SECONDS = 120.0
"""For one command of docker, whose slowest waits for a container to be healthy."""
BUILD_SECONDS = 1800.0
"""For all images, with every dependency, on a busy machine."""


class CommandError(OSError):
    """A command has failed; the message has the command and the end of what it printed."""


@dataclass(frozen=True)
class Project:
    """`files` are read in their order, as with `docker compose -f … -f …`."""

    name: str
    environment_file: Path
    files: Sequence[Path]
    profile: str = "demo"

    async def compose(self, *arguments: str, given: bytes = b"", seconds: float = COMMAND_SECONDS) -> str:
        """Run docker compose on this project and return what it prints; `given` is its input."""
        files = [part for file in self.files for part in ("--file", str(file))]
        options = ["--project-name", self.name, "--profile", self.profile, "--env-file", str(self.environment_file)]
        command = ("compose", "--project-directory", str(ROOT), *files, *options, *arguments)
        return await docker(*command, given=given, seconds=seconds)

    async def containers(self, service: str) -> list[str]:
        """The ids of a service's containers that run, in full."""
        return (await self.compose("ps", "--quiet", "--status", "running", service)).split()

    async def remove(self) -> None:
        """Remove all that belongs to the project: containers, networks, volumes and the images that it has built."""
        await self.compose("down", "--volumes", "--rmi", "local", "--remove-orphans", "--timeout", "10")


async def docker(*arguments: str, given: bytes = b"", seconds: float = COMMAND_SECONDS) -> str:
    """Run docker, as `run` does."""
    return await run("docker", *arguments, given=given, seconds=seconds)


async def run(*command: str, given: bytes = b"", seconds: float = COMMAND_SECONDS) -> str:
    """Run a command and return what it prints. Raises CommandError when it fails or takes too long."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE if given else DEVNULL, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate(given or None)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise CommandError(f"{' '.join(command)} has not ended within {seconds:.0f} s") from None
    if process.returncode:
        raise CommandError(f"{' '.join(command)}: {errors.decode(errors='replace')[-2000:]}")
    return output.decode(errors="replace")


async def address(container: str, port: int) -> str:
    """Where a published port of a container is reached, as host:port; it is another one after each start."""
    return (await docker("port", container, f"{port}/tcp")).splitlines()[0]


async def inspected(kind: str, name: str) -> Mapping[str, Any]:
    """What docker knows of a container or an image."""
    (found,) = json.loads(await docker(kind, "inspect", name))
    return dict(found)
