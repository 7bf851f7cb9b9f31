"""Shapes about the client's own identity."""

from pydantic import AwareDatetime, Field

from summit_models.contract import Contract


class Ticket(Contract):
    ticket: str = Field(description="Value of the parameter `ticket` of /api/v1/events", examples=["eyJuYW1l…"])
    expires_at: AwareDatetime = Field(description="Open the feed before this time. It can stay open for longer")
