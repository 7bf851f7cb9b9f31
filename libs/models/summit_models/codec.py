"""The one codec of the contract: events and states to JSON and back.

Pydantic takes 25 µs to decode a VM's event and msgspec takes 6, so structs made from the models' fields try first
(`structs`). Where a struct refuses, the model decides, and the model alone writes the sentence with the reason. One
known difference is harmless: msgspec rounds a time with more than six decimals, and none of our writers makes one.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar, cast

import msgspec
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from summit_models.event import Event
from summit_models.structs import struct_of, to_json, to_model

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Errors that msgspec raises for a text that is not JSON, or nested deeper than any state."""

ModelT = TypeVar("ModelT", bound=BaseModel)
FieldsT = ParamSpec("FieldsT")


class Decoded(NamedTuple):
    """The parts of an event that its readers need. `data` is the model's data, or a struct with the same fields."""

    type: str
    source: str
    time: datetime
    epoch: int
    data: Any
    text: str
    """The JSON of `data` as our writers write it, with members that this version does not know."""


Decode = Callable[[bytes], Decoded]
"""Raises ValueError with a sentence for anything that is not such an event."""


def encode(event: Event) -> bytes:
    """The JSON of an event; for events that are rare."""
    return event.model_dump_json().encode()


def decoder(model: type[Event]) -> Decode:
    """How to decode one type of event: with structs, and with the model where these refuse.

    A model with a field that structs have no rule for is always decoded by itself.
    """
    by_model = partial(_decode_by_model, model)
    try:
        decode_event = msgspec.json.Decoder(struct_of(model, other_types={"data": msgspec.Raw})).decode
        decode_data = msgspec.json.Decoder(struct_of(_data_of(model))).decode
    except TypeError:
        return by_model

    def decode(body: bytes) -> Decoded:
        try:
            event = decode_event(str(body, "utf-8"))  # msgspec does not check text that it skips
            data = decode_data(event.data)
        except NOT_JSON:
            return by_model(body)
        return Decoded(event.type, event.source, event.time, event.epoch, data, str(event.data, "utf-8"))

    return decode


def _decode_by_model(model: type[Event], body: bytes) -> Decoded:
    try:
        event = model.model_validate_json(body, by_alias=True, by_name=False)
        text = _as_written(event, _members(_members(body)["data"]))
    except ValidationError as error:
        raise ValueError(_sentence(error)) from error
    except NOT_JSON as error:  # for example NaN, which pydantic takes for a number
        raise ValueError(f"it is not JSON: {error}") from error
    return Decoded(event.type, event.source, event.time, event.epoch, event.data, text)


def _as_written(event: Event, members: Mapping[str, msgspec.Raw]) -> str:
    """The JSON of an event's data whose values the model has converted, such as 4.0 or 1700000000 for a time.

    Readers of the journal expect what our writers write: one such value would end each of them at that event. Members
    that this version does not know stay.
    """
    values = _members(event.data.model_dump_json(by_alias=True).encode())
    return msgspec.json.encode({name: values.get(name, value) for name, value in members.items()}).decode()


def decode_leniently(model: type[ModelT], body: bytes) -> ModelT:
    """Read what can be read: a member that is missing or odd has its default, or None where it has none.

    For readers that need a few members of whatever may be in the log: later versions may write what this one refuses.
    """
    try:
        members = _members(body)
    except NOT_JSON:
        members = {}
    fields = model.model_fields.items()
    return model.model_construct(
        **{name: _value(info, members.get(info.alias or name, _NOTHING)) for name, info in fields}
    )


def _value(info: FieldInfo, text: msgspec.Raw) -> Any:
    annotation: Any = info.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return decode_leniently(annotation, bytes(text))
    try:
        return _adapter(annotation).validate_json(bytes(text))
    except ValidationError:
        return default_of(info)


_NOTHING = msgspec.Raw(b"")


@lru_cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def unvalidated(model: Callable[FieldsT, ModelT]) -> Callable[FieldsT, ModelT]:
    """Make models of values that are known to fit, four times as fast; mypy checks the calls as those of the model."""
    class_ = cast("type[ModelT]", model)
    defaults = {name: default_of(info) for name, info in class_.model_fields.items()}
    names = set(defaults)

    def make(*_: FieldsT.args, **values: FieldsT.kwargs) -> ModelT:
        made = class_.__new__(class_)
        object.__setattr__(made, "__dict__", defaults | values)  # in the order of declaration: Pydantic's JSON keeps it
        object.__setattr__(made, "__pydantic_fields_set__", names)
        object.__setattr__(made, "__pydantic_extra__", None)
        object.__setattr__(made, "__pydantic_private__", None)
        return made

    return make


class StateCodec(Generic[ModelT]):
    """The states of one model, and the events about them, encoded without Pydantic, once for each change.

    A state takes 2 µs to encode and 3 to compare, where Pydantic takes 7 and 9. The bytes are the same.
    """

    def __init__(self, state: type[ModelT], event: type[Event]) -> None:
        self._struct = struct_of(state, keep_models=True)
        self._fields = tuple(state.model_fields)
        self._members: tuple[str, ...] = self._struct.__struct_encode_fields__
        self._values = attrgetter(*self._fields)
        self._make: Callable[..., ModelT] = unvalidated(state)
        self._decode = msgspec.json.Decoder(self._struct, dec_hook=to_model).decode
        self._event = struct_of(event, other_types={"data": msgspec.Raw})
        self._aliases = {name: info.alias or name for name, info in _data_of(event).model_fields.items()}

    def encode(self, state: ModelT) -> bytes:
        """The state as JSON, byte for byte as `model_dump_json` writes it."""
        return _encode(self._struct(**state.__dict__))

    def encode_state_in(self, data: Any) -> bytes:
        """The state within the data of an event, as JSON; the data may be a model or a struct."""
        return _encode(self._struct(**dict(zip(self._fields, self._values(data), strict=True))))

    def decode(self, state: bytes) -> ModelT:
        """The state that was encoded so. Raises msgspec.DecodeError for anything else."""
        return self._make(**msgspec.structs.asdict(self._decode(state)))

    def changes(self, before: bytes, after: ModelT) -> dict[str, JsonValue]:
        """Each member of the state that differs, with its old value."""
        old, new = msgspec.structs.astuple(self._decode(before)), after.__dict__.values()
        return {name: was for name, was, value in zip(self._members, old, new, strict=True) if was != value}

    def encode_event(self, state: bytes, about: Mapping[str, object], **members: Any) -> bytes:
        """The JSON of an event around a state that is encoded already.

        `about` has the other fields of its data, at least one; `members` has the fields of the event but for its data.
        """
        others = _encode({self._aliases[name]: value for name, value in about.items()})
        data = msgspec.Raw(state[:-1] + b"," + others[1:])
        return _encode(self._event(data=data, **members))


_encode = msgspec.json.Encoder(enc_hook=to_json).encode


def _data_of(event: type[Event]) -> Any:
    return event.model_fields["data"].annotation


def default_of(info: FieldInfo) -> Any:
    """The default of a field, None where it has none."""
    return None if info.is_required() else info.get_default(call_default_factory=True)


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"
