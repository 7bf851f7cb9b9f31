"""The course of the test: build, upgrade, start, scale, break, compare. All in one project, removed at the end."""

import os
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from compose import acts, figures, proxied, upgrade
from compose.fleet import simulated
from compose.project import BUILD_SECONDS, Project, docker
from compose.stack import FILES, Stack, client, setting, settings
from soak.report import show

from summit_standalone.embedded.server_process import free_port

TAKE_OVER_SECONDS, LEAVE_SECONDS, FEED_SECONDS = 5.0, 1.0, 1.0
"""What docs/operations.md promises of watchers and projectors; and a feed that its proxy holds back takes longer."""


@dataclass
class Outcome:
    measured: list[tuple[str, float, float | None]] = field(default_factory=list)
    """What took how long, in seconds, and how long it may take."""
    findings: dict[str, list[str]] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)

    async def takes(self, what: str, act: Awaitable[float], most: float | None = None) -> None:
        """Note the seconds that an act returns."""
        seconds = await act
        show(f"{what}: {seconds:.1f} s")
        self.measured.append((what, seconds, most))

    def late(self) -> list[str]:
        return [
            f"{what}: {seconds:.1f} s, and {most:g} s are promised"
            for what, seconds, most in self.measured
            if most is not None and seconds > most
        ]

    def report(self) -> list[str]:
        bounds = [(what, seconds, f"of {most:g} s" if most else "") for what, seconds, most in self.measured]
        return [*(f"  {what:<56}{seconds:>6.1f} s  {bound}".rstrip() for what, seconds, bound in bounds), *self.figures]


async def course(directory: Path) -> Outcome:
    """Run it. Raises AssertionError for what never came, and CommandError where docker refuses; logs are kept."""
    port = free_port()
    environment = await settings(directory, proxy_port=port)
    project, outcome = Project(f"summit-test-{os.getpid()}", environment, FILES), Outcome()
    try:
        await outcome.takes("all images are built", acts.timed(project.compose("build", seconds=BUILD_SECONDS)))
        await upgrade.restore(project)
        await outcome.takes(
            "up, over the data of an earlier version", acts.timed(project.compose("up", "--detach", "--wait"))
        )
        async with AsyncExitStack() as stack:
            clusters = await stack.enter_async_context(simulated(project))
            token = setting(environment, "API_ADMIN_TOKEN")
            http = await stack.enter_async_context(client(project, port=port, token=token))
            await _break(Stack(project, clusters, http), outcome)
        outcome.figures += ["images:", *await figures.image_sizes(project)]
        outcome.figures += ["memory, beside its limit:", *await figures.memory(project)]
        outcome.findings["nothing failed in a way that nobody foresaw"] = await figures.tracebacks(project)
        outcome.findings["all was in time"] = outcome.late()
    finally:
        try:
            (directory / "containers.log").write_text(await project.compose("logs", "--no-color", "--timestamps"))
        finally:
            await project.remove()
    return outcome


async def _break(stack: Stack, outcome: Outcome) -> None:
    for part in (_fleet, _watchers, _projectors, _apis, _servers, _starts):
        await part(stack, outcome)
        await outcome.takes("  then the API equals the truth", acts.timed(stack.equals_the_truth()))
    outcome.findings["no event became a dead letter"] = await figures.dead_letters(stack.project)


async def _fleet(stack: Stack, outcome: Outcome) -> None:
    """The API shows the fleet, and what the earlier version had."""
    await outcome.takes("the API equals the truth", acts.timed(stack.equals_the_truth()))
    await upgrade.nothing_is_lost(stack)
    scaled = acts.scaled(stack)
    await outcome.takes("three watchers, two projectors, two apis run", scaled)
    await outcome.takes("the watchers have even shares", acts.shared(stack))


async def _watchers(stack: Stack, outcome: Outcome) -> None:
    """One is killed, one leaves, one stands still for a minute and goes on."""
    what = "its clusters are watched by others"
    killed = await acts.busiest_watcher(stack)
    await outcome.takes(f"watcher killed: {what}", acts.lost_watcher(stack, killed, "kill"), TAKE_OVER_SECONDS)
    await acts.scaled(stack)
    await acts.shared(stack)
    leaving = await acts.busiest_watcher(stack)
    lost = acts.lost_watcher(stack, leaving, "kill", "--signal=TERM")
    await outcome.takes(f"watcher stopped: {what}", lost, LEAVE_SECONDS)
    await docker("wait", leaving)  # it ends a moment after it has handed over
    await acts.scaled(stack)
    await acts.shared(stack)
    frozen = await acts.busiest_watcher(stack)
    async with acts.going_on_later(frozen):
        await outcome.takes(f"watcher paused: {what}", acts.lost_watcher(stack, frozen, "pause"), TAKE_OVER_SECONDS)
    await outcome.takes("it goes on after a minute: it has a share again", acts.shared(stack))


async def _projectors(stack: Stack, outcome: Outcome) -> None:
    """The active one is killed; the next one stands still for a minute, and goes on."""
    what = "an edit is applied"
    killed = await acts.active_projector(stack)
    await outcome.takes(f"projector killed: {what}", acts.lost_projector(stack, killed, "kill"), TAKE_OVER_SECONDS)
    await acts.scaled(stack)
    frozen = await acts.active_projector(stack)
    async with acts.going_on_later(frozen):
        await outcome.takes(f"projector paused: {what}", acts.lost_projector(stack, frozen, "pause"), TAKE_OVER_SECONDS)


async def _apis(stack: Stack, outcome: Outcome) -> None:
    """Behind the proxy they are one."""
    outcome.findings["a ticket of one api counts for the other"] = await proxied.refused_tickets(stack)
    await outcome.takes("an edit reaches a feed", proxied.feed_seconds(stack), FEED_SECONDS)
    outcome.findings["each request is answered while an api is killed"] = await proxied.unanswered_without_one(stack)
    await acts.scaled(stack)


async def _servers(stack: Stack, outcome: Outcome) -> None:
    for service in ("nats", "postgres"):
        await outcome.takes(f"{service} restarted: an edit is applied", acts.restarted(stack, service))


async def _starts(stack: Stack, outcome: Outcome) -> None:
    for service, port in (("watcher-demo", 8080), ("projector", 8080), ("api", 3001)):
        await outcome.takes(f"a container of {service} is ready", acts.starts(stack, service, port))
