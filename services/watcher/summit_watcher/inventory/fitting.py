"""States that fit into an event: the log refuses a larger one, and readers would keep what they had before.

A VM may have a megabyte of labels. It is shown without them, and with a problem that says so.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from summit_models.codec import StateCodec, default_of
from summit_models.migration import Migration
from summit_models.structs import to_json
from summit_models.vm import Vm

SMALL_BYTES = 1024
"""A member that is smaller stays: what identifies an object is, and leaving out many small ones would help little."""

_size_encoder = msgspec.json.Encoder(enc_hook=to_json)


def fitting(codec: StateCodec[Any], model: Vm | Migration, most_bytes: int) -> tuple[Vm | Migration, bytes]:
    """The model and its JSON, without its largest members if it has more than so many bytes with them.

    What is left out has its default. A state that is still too large is so because of many small members.
    """
    state = codec.encode(model)
    if len(state) <= most_bytes:
        return model, state
    problems: list[str] = []
    for name, size in _bulky(model):
        problems.append(f"{name}: left out, as its {size} bytes are too many for an event")
        model = model.model_copy(
            update={name: default_of(type(model).model_fields[name])} | _as_member(model, problems)
        )
        state = codec.encode(model)
        if len(state) <= most_bytes:
            break
    return model, state


def _as_member(model: Vm | Migration, left_out: Sequence[str]) -> dict[str, list[str]]:
    """The problems of the model with these, where the model has such a member."""
    if not isinstance(model, Vm):
        return {}
    others = [] if any(one.startswith("problems:") for one in left_out) else model.problems
    return {"problems": [*dict.fromkeys([*others, *left_out])]}


def _bulky(model: Vm | Migration) -> Iterator[tuple[str, int]]:
    """The members that can be left out, and their sizes in JSON; the largest first."""
    sizes = {name: len(_size_encoder.encode(getattr(model, name))) for name in type(model).model_fields}
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        if size > SMALL_BYTES and not type(model).model_fields[name].is_required():
            yield name, size
