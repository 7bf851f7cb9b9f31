"""What is told about who one is."""

from pydantic import AwareDatetime, Field

from summit_models.contract import Contract


class Ticket(Contract):
    ticket: str = Field(description="Value of the parameter `ticket` of /api/v1/events", examples=["eyJuYW1l…"])
    expires_at: AwareDatetime = Field(description="A feed must be opened before; one that is open goes on")
