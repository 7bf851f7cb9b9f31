"""A datacenter as it was declared: a place with clusters."""

from pydantic import Field

from summit_models.contract import ClusterName, Contract, DatacenterId


class Datacenter(Contract):
    id: DatacenterId = Field(examples=["dc-solna"])
    name: str = Field(examples=["Solna"])
    location: str | None = Field(default=None, examples=["Solna, Sweden"])
    coordinates: tuple[float, float] | None = Field(
        default=None, description="Latitude and longitude in degrees", examples=[(59.36, 18.0)]
    )
    clusters: list[ClusterName] = Field(default=[], description="Names of its clusters, in declared order")
