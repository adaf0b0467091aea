"""The network model in the database, for those who look at the network through it."""

from headend.outages.model import NetworkModel, Position
from headend.store.database import Connection


async def publish_network(connection: Connection, model: NetworkModel) -> None:
    """Make the tables network_device and network_usage_point what the model says, inside the caller's transaction."""
    await connection.execute("DELETE FROM network_usage_point")
    await connection.execute("DELETE FROM network_device")
    devices, points = list(model.kinds), list(model.feeding)
    await connection.execute(
        "INSERT INTO network_device (id, kind, parent, longitude, latitude, rated_kva) SELECT *"
        " FROM unnest(%s::text[], %s::text[], %s::text[], %s::float8[], %s::float8[], %s::float8[])",
        [
            devices,
            [model.kinds[device] for device in devices],
            [model.parents[device] for device in devices],
            *_coordinates([model.positions.get(device) for device in devices]),
            [model.rated_kva.get(device) for device in devices],
        ],
    )
    await connection.execute(
        "INSERT INTO network_usage_point (usage_point, device, transformer, longitude, latitude, nominal_voltage_v)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::float8[], %s::float8[], %s::float8[])",
        [
            points,
            [model.feeding[point] for point in points],
            [model.transformer_of(point) for point in points],
            *_coordinates([model.places.get(point) for point in points]),
            [model.nominal_voltage_v.get(point) for point in points],
        ],
    )


def _coordinates(positions: list[Position | None]) -> tuple[list[float | None], list[float | None]]:
    return (
        [None if position is None else position[0] for position in positions],
        [None if position is None else position[1] for position in positions],
    )
