"""The stages of the Dockerfile, and what an image has of them; no container is needed."""

import re
from collections.abc import Mapping, Sequence

from support.paths import ROOT


def _stages() -> dict[str, list[str]]:
    """The instructions of each stage with continued lines joined; the first is FROM."""
    stages: dict[str, list[str]] = {}
    lines = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines()
    for line in (line for line in lines if line and not line.startswith("#")):
        if match := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            instructions = stages.setdefault(match[2], [])
        instructions.append(line)
    return stages


STAGES: Mapping[str, Sequence[str]] = _stages()


def lineage(stage: str) -> Sequence[str]:
    """All instructions that make the image of a stage, beginning at its official image."""
    base = STAGES[stage][0].split()[1]
    return [*(lineage(base) if base in STAGES else []), *STAGES[stage]]


def last(instructions: Sequence[str], name: str) -> str:
    """What the last instruction of that name says."""
    return [line for line in instructions if line.startswith(f"{name} ")][-1].removeprefix(f"{name} ")


def environment(stage: str) -> dict[str, str]:
    """The variables that an image sets."""
    lines = " ".join(line.removeprefix("ENV ") for line in lineage(stage) if line.startswith("ENV "))
    return dict(re.findall(r"(\w+)=(\S+)", lines))


def port(stage: str) -> int:
    """The port that an image serves."""
    return int(last(lineage(stage), "EXPOSE"))
