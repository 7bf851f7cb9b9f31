"""Decoding events: strictly and fast first, and by the contract's own models where that says no.

Pydantic takes 25 µs for a VM's event, and that many come; msgspec takes 6 (measured). Its structs are made from the
models' fields, so a field is declared once. They accept less than the models do ("5" is no number, to them): whatever
they refuse the model decides, and it alone puts refusals into words. One known difference is harmless: of a time with
more than six decimals, which none of our writers makes, msgspec rounds the sixth.
"""

import types
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from pydantic import AwareDatetime, JsonValue, ValidationError
from pydantic.fields import FieldInfo

from summit_models.contract import Contract
from summit_models.event import Event

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec makes of a text that is no JSON, or too deep to be somebody's state."""


class Decoded(NamedTuple):
    """Of an event, what the projector needs. `data` has the fields of the model's data, as a model or as a struct."""

    type: str
    source: str
    time: datetime
    epoch: int
    data: Any
    text: str
    """The JSON of `data` as it was published, with members that this version does not know."""


Decode = Callable[[bytes], Decoded]
"""Raises ValueError with a sentence for what is no such event."""


class Envelope(msgspec.Struct):
    """What any CloudEvent has: its id, and the text of its data."""

    id: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


decode_envelope = msgspec.json.Decoder(Envelope).decode


def by_model(model: type[Event]) -> Decode:
    """Decode with the model itself; for events that are few. JSON members have the contract's names, camelCase."""

    def decode(body: bytes) -> Decoded:
        try:
            event = model.model_validate_json(body, by_alias=True, by_name=False)
            text = str(decode_envelope(body).data, "utf-8")
        except ValidationError as error:
            raise ValueError(_sentence(error)) from error
        except NOT_JSON as error:  # for example NaN, which pydantic takes for a number
            raise ValueError(f"it is not JSON: {error}") from error
        return Decoded(event.type, event.source, event.time, event.epoch, event.data, text)

    return decode


def by_struct(model: type[Event]) -> Decode:
    """Decode with structs made from the model, and with the model where these refuse."""
    decode_event = msgspec.json.Decoder(_struct(model, data=msgspec.Raw)).decode
    decode_data = msgspec.json.Decoder(_struct(model.model_fields["data"].annotation)).decode
    decode_slowly = by_model(model)

    def decode(body: bytes) -> Decoded:
        try:
            event = decode_event(str(body, "utf-8"))  # msgspec looks into no text that it passes over
            return Decoded(
                event.type, event.source, event.time, event.epoch, decode_data(event.data), str(event.data, "utf-8")
            )
        except NOT_JSON:
            return decode_slowly(body)

    return decode


def _struct(model: Any, **other_types: Any) -> Any:
    """A struct with the fields of the model. Raises TypeError for a field that has no rule yet."""
    fields = model.model_fields
    return msgspec.defstruct(
        model.__name__,
        [_field(name, info, other_types.get(name, info.annotation)) for name, info in fields.items()],
        rename={name: info.alias or name for name, info in fields.items()},
        kw_only=True,
        gc=False,  # JSON makes no cycles
    )


def _field(name: str, info: FieldInfo, annotation: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    if info.metadata or info.default_factory:
        raise TypeError(f"no rule for a constraint or a default factory: {name} = {info!r}")
    return (name, _type(annotation)) if info.is_required() else (name, _type(annotation), info.default)


def _type(annotation: Any) -> Any:
    """What msgspec is to decode where the model says `annotation`."""
    annotation = getattr(annotation, "__supertype__", annotation)  # what a NewType wraps
    if annotation in _TYPES:
        return _TYPES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return Union[tuple(_type(argument) for argument in arguments)]  # noqa: UP007  made of a tuple
    if origin in (list, dict):
        return origin[tuple(_type(argument) for argument in arguments)]
    if origin is Literal or (isinstance(annotation, type) and issubclass(annotation, StrEnum)):
        return annotation
    if isinstance(annotation, type) and issubclass(annotation, Contract):
        return _struct(annotation)
    raise TypeError(f"no rule to decode {annotation!r}: add it to _TYPES")


_TYPES: dict[Any, Any] = {
    AwareDatetime: Annotated[datetime, msgspec.Meta(tz=True)],
    JsonValue: Any,
    **{plain: plain for plain in (bool, int, str, types.NoneType, msgspec.Raw)},
}


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"
