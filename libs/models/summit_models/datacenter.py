"""A datacenter: a place with clusters, as the configuration declares it and as people have edited it since."""

from pydantic import Field

from summit_models.contract import ClusterName, Contract, DatacenterId


class DatacenterValues(Contract):
    """The fields that the configuration declares and that people may edit."""

    name: str = Field(examples=["Solna"])
    location: str | None = Field(default=None, examples=["Solna, Sweden"])
    coordinates: tuple[float, float] | None = Field(
        default=None, description="Latitude and longitude in degrees", examples=[(59.36, 18.0)]
    )


class Datacenter(Contract):
    """The present state of a datacenter."""

    id: DatacenterId = Field(examples=["dc-solna"])
    name: str = Field(examples=["Solna"])
    location: str | None = Field(default=None, examples=["Solna, Sweden"])
    coordinates: tuple[float, float] | None = Field(
        default=None, description="Latitude and longitude in degrees", examples=[(59.36, 18.0)]
    )
    clusters: list[ClusterName] = Field(default=[], description="Names of its clusters, in declared order")
    declared: DatacenterValues | None = Field(
        default=None,
        description="Values that the configuration declares, if people have edited them since; null otherwise",
    )
    retired: bool = Field(
        default=False,
        description="The configuration no longer declares it; lists show it only while it has virtual machines",
    )

    @property
    def values(self) -> DatacenterValues:
        return DatacenterValues(name=self.name, location=self.location, coordinates=self.coordinates)

    def with_values(self, values: DatacenterValues, *, declared: DatacenterValues) -> "Datacenter":
        """The same datacenter with these values; it keeps the declared ones where they differ."""
        return self.model_copy(update={**dict(values), "declared": None if values == declared else declared})
