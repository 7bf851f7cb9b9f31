"""What a client accepts, by the weights in its header: RFC 9110 sections 12.4.2 and 12.5."""

from collections.abc import Mapping


def weights(header: str) -> Mapping[str, float]:
    """The weight of each value in an Accept or Accept-Encoding header; 1 where none is given, 0 for "not this one"."""
    return dict(_weighted(item) for item in header.lower().split(",") if item.strip())


def _weighted(item: str) -> tuple[str, float]:
    value, *parameters = (part.strip() for part in item.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            return value, _number(parameter[2:])
    return value, 1.0


def _number(text: str) -> float:
    """A weight that is no number from 0 to 1 counts as 0: nobody depends on what an unclear wish gets."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if 0 <= number <= 1 else 0.0
