"""Values of options as the api takes them. Raises typer.BadParameter with what is allowed."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import typer

_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")
_SIZE = re.compile(r"(\d{1,9})(Mi|Gi|Ti)")
_MIB = {"Mi": 1, "Gi": 1 << 10, "Ti": 1 << 20}


def seconds(text: str) -> int:
    """A duration as kubectl takes it: `90s`, `10m`, `1h30m`; a number alone is seconds."""
    if text.isdigit():
        return int(text)
    found = _DURATION.fullmatch(text)
    if not text or not found:
        raise typer.BadParameter(f"{text!r} is no duration: write it as 90s, 10m or 1h30m")
    days, hours, minutes, rest = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def mebibytes(text: str) -> int:
    """Memory with its unit. A number alone is refused: it is bytes in Kubernetes and MiB in our api."""
    if not (found := _SIZE.fullmatch(text)):
        raise typer.BadParameter(f"{text!r} is no size of memory: write it as 4096Mi or 4Gi")
    return int(found[1]) * _MIB[found[2]]


def labels(texts: Sequence[str]) -> dict[str, str]:
    """`k=v,k=v`, as often as wanted."""
    pairs = [pair for text in texts for pair in text.split(",") if pair]
    for pair in pairs:
        if not re.fullmatch(r"[^=!\s]+=[^=!\s]*", pair):
            raise typer.BadParameter(f"{pair!r} is no label of a node: write it as zone=b")
    return dict(pair.split("=", 1) for pair in pairs)


def ago(text: str) -> str:
    """A time, or how long ago, as an RFC 3339 time."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d.*", text):
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no time: write it as 2026-11-23T12:00:00Z, or as 2h") from None
        return time.astimezone(UTC).isoformat()
    return (datetime.now(UTC) - timedelta(seconds=seconds(text.removeprefix("-")))).isoformat()
