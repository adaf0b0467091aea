"""Whatever parameters are allowed: frames arrive after they are sent or never, and nothing is undefined."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from meters.radio.backhaul import Backhaul
from meters.radio.cellular import Cells
from meters.radio.frames import Frames
from meters.radio.mesh import Jam, Mesh
from meters.radio.parameters import load_parameters
from meters.radio.passage import DeliveryClass, Passage
from meters.radio.plc import PowerLine
from tests.meters.radio.suburb import START_S, keys_of, plots

METERS = 25
FAR: dict[str, Any] = {"transmit_power_dbm": -200.0}
EXTREMES: dict[str, list[dict[str, Any]]] = {
    "mesh": [
        FAR, {"transmit_power_dbm": 300.0}, {"path_loss_exponent": 1.0}, {"path_loss_exponent": 8.0},
        {"shadowing_db": 0.0}, {"shadowing_db": 1e9}, {"fading_db": 1e-9}, {"fading_db": 1e9},
        {"hop_transmissions": 1, "end_to_end_tries": 1, **FAR}, {"fragment_bytes": 1}, {"least_link_success": 0.999},
        {"gasp_window_s": 1e-9, "gasp_wait_s": 1e-9}, {"gasp_slot_s": 1e9}, {"read_wait_s": 1e9},
    ],
    "plc": [
        {"attenuation_db_per_m": 1e9}, {"attenuation_db_per_m": 1e-9}, {"budget_db": -300.0}, {"fading_db": 1e-9},
        {"noise_db_by_hour": [300.0] * 24}, {"noise_db_by_hour": [-300.0] * 12 + [300.0] * 12},
        {"late_share": 1.0, "late_most_s": 0.0}, {"late_share": 0.0}, {"availability_least": 0.0},
        {"rejoin_least_s": 0.0, "rejoin_most_s": 0.0}, {"poll_first_s": 1e-9}, {"fragment_bytes": 1},
    ],
    "cellular": [
        {"spacing_m": 10.0}, {"spacing_m": 1e6}, {"operators": 9}, {"most_coupling_loss_db": 144.0},
        {"loss_share": 0.0, "loss_share_at_edge": 0.0}, {"loss_share": 0.9, "loss_share_at_edge": 0.9},
        {"attaches_per_s": 1e-9}, {"messages_per_s": 1e-9}, {"shadowing_db": 1e9}, {"attach_tries": 1},
    ],
    "backhaul": [{"loss_share": 0.0}, {"loss_share": 0.9}, {"bps": 1e-9}, {"bps": 1e9}],
}  # fmt: skip


def ways(technology: str, changes: dict[str, Any]) -> list[Callable[[Frames], Passage]]:
    """Up and down, where some meters have no supply and others are jammed."""
    parameters = load_parameters({technology: changes})
    positions_m, keys, everybody = plots(METERS, 1), keys_of(METERS, 1), np.arange(METERS)
    lit = everybody % 5 > 0
    if technology == "mesh":
        mesh = Mesh(positions_m, np.zeros(2), keys, parameters.mesh)
        assert (mesh.hops > 0).all()
        mesh.jam([Jam((0.0, 0.0), 30.0, 0.5)], now_s=START_S)
        mesh.supply(lit, now_s=START_S)
        return [mesh.up, mesh.down]
    if technology == "plc":
        line = PowerLine(positions_m, np.zeros(2), keys, parameters.plc, start_s=START_S)
        assert (line.hops > 0).all()
        line.supply(lit, now_s=START_S)
        line.supply(np.ones(METERS, dtype=bool), now_s=START_S)
        return [line.up, line.down]
    if technology == "cellular":
        cells = Cells(positions_m, keys, parameters.cellular)
        attached = cells.attach(everybody, np.full(METERS, float(START_S)), np.full(METERS, 1e6))
        assert (attached.arrives_s > START_S).all()
        return [cells.up, cells.down]
    link = Backhaul(keys, parameters.backhaul)
    return [link.up, link.down]


@pytest.mark.parametrize(
    ("technology", "changes"), [(name, changes) for name, of_it in EXTREMES.items() for changes in of_it], ids=str
)
def test_that_extreme_parameters_leave_nothing_undefined(technology: str, changes: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for way in ways(technology, changes):
            for delivery_class in DeliveryClass:
                frames = Frames.of(np.arange(METERS), START_S, delivery_class, 7, 1_000)
                passage = way(frames)
                assert (passage.arrives_s >= frames.sent_s).all()
                assert (passage.again_s >= passage.arrives_s).all()
                assert (passage.arrives | (passage.cause > 0)).all()
