"""JetStream's answer to a publish, which nats-py decodes only for its own way to publish."""

import msgspec


class ApiError(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class Answer(msgspec.Struct):
    """A PubAck, or with a `type` a BatchFlowAck, BatchFlowGap or BatchFlowErr (ADR-50)."""

    type: str = ""
    seq: int = 0
    count: int = 0
    error: ApiError | None = None


decode_answer = msgspec.json.Decoder(Answer).decode
