"""The grid as a part: solves the feeder, applies switching, keeps the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from grid.demand import Demand
from grid.feeder import Device, Feeder, FeederError, load_feeder
from grid.geography import geography, write_geography
from grid.network_model import network_model, phase_names, write_network_model
from grid.powerflow import PowerFlowError
from grid.selectors import SelectionError, select
from grid.simulation import GridSimulation
from lab.errors import UserError
from lab.lockstep.link import Body, Handler, NotBegun
from lab.parts.process import run_part

GEOGRAPHY = "geography.json"
Answer = tuple[Body, Sequence[bytes]]


class GridPart:
    """Handlers of the link; see lab/lockstep/remote.py for who calls them."""

    def __init__(self) -> None:
        self._feeder: Feeder | None = None
        self._simulation: GridSimulation | None = None
        self._devices: dict[str, Device] = {}

    def handlers(self) -> dict[str, Handler]:
        return {
            "init": self.init,
            "select": self.select,
            "write_network": self.write_network,
            "describe": self.describe,
            "open": self.open,
            "close": self.close,
            "advance": self.advance,
            "finish": self.finish,
        }

    @property
    def feeder(self) -> Feeder:
        if self._feeder is None:
            raise NotBegun
        return self._feeder

    @property
    def simulation(self) -> GridSimulation:
        if self._simulation is None:
            raise NotBegun
        return self._simulation

    async def init(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        try:
            self._feeder = load_feeder(body["feeder"], time_zone=body.get("time_zone"))
        except FeederError as error:
            raise UserError(str(error)) from error
        demand = Demand.draw(self._feeder, seed=body["seed"])
        self._simulation = GridSimulation(self._feeder, demand, start_s=body["start_s"], flow=body["flow"])
        return {
            "name": self._feeder.name,
            "flow": body["flow"],
            "time_zone": self._feeder.calendar.zone.key,
            "notices": self._feeder.notices,
            "buses": self._feeder.bus_count,
            "transformers": len(self._feeder.transformers),
            "usage_points": [point.id for point in self._feeder.usage_points],
            "largest_w": demand.largest_w.tolist(),
            "phases": phase_names(demand.connected),
            "places": [[point.longitude, point.latitude, point.transformer] for point in self._feeder.usage_points],
            "transformer_points": [
                [point.id, point.rated_va, *(point.position or (None, None)), point.transformer]
                for point in self._simulation.transformer_points.points
            ],
        }, ()

    async def select(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        """Choose a device by seeded selector; `key` names the random stream, so that events do not shift each other."""
        rng = np.random.default_rng([body["seed"], *body["key"]])
        try:
            choice = select(
                self.feeder,
                body["device"],
                body["select"],
                rng,
                exclude=frozenset(body["exclude"]),
                avoid=frozenset(body["avoid"]),
                metered=frozenset(body["metered"]),
                conductor=body["conductor"],
            )
        except SelectionError as error:
            raise UserError(
                [f"{body['where']}: {error}"], "Name another device, or another number of customers."
            ) from error
        device = choice.device
        self._devices[device.name] = device
        points = [self.feeder.usage_points[row].id for row in self.feeder.darkened_by(device)]
        return {"device": device.name, "usage_points": points, "remark": choice.remark}, ()

    async def write_network(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        """The network model, for whoever detects outages and for the verdict on it."""
        write_network_model(Path(body["path"]), network_model(self.feeder, self.simulation.connected))
        return {}, ()

    async def describe(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        """For maps: where everything is, and the voltage that each usage point should have."""
        nominal_v = self.feeder.nominal_voltage_v.tolist()
        return {"geography": geography(self.feeder), "nominal_voltage_v": nominal_v}, ()

    async def open(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        self.simulation.open(self._devices[body["device"]])
        return {}, ()

    async def close(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        self.simulation.close(self._devices[body["device"]])
        return {}, ()

    async def advance(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        self.simulation.operate_breakers(dict(body.get("switched", ())))
        try:
            frame = self.simulation.advance(body["now_s"])
        except PowerFlowError as error:
            raise UserError([str(error)], "Choose another feeder, or another seed for its demand.") from error
        return {"next_due_s": self.simulation.next_due()}, () if frame is None else (frame.to_bytes(),)

    async def finish(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        directory = Path(body["directory"])
        lengths_s = np.array(body["interval_lengths_s"], dtype=np.int64)
        self.simulation.truth.write(directory, interval_lengths_s=lengths_s, until_s=body["until_s"])
        write_geography(directory / GEOGRAPHY, self.feeder)
        return {}, ()


if __name__ == "__main__":
    run_part("The physical truth of an amilab run.", lambda _name: GridPart().handlers())
