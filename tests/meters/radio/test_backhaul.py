"""Between collectors and the broker: nothing is lost, nothing overtakes, and what is urgent does not wait for reads."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from meters.radio.backhaul import Backhaul
from meters.radio.frames import Frames
from meters.radio.parameters import load_parameters
from meters.radio.passage import Cause, DeliveryClass
from tests.meters.radio.suburb import START_S, keys_of

READ, ALARM, GASP = DeliveryClass.READ, DeliveryClass.ALARM, DeliveryClass.GASP


def backhaul(**changes: object) -> Backhaul:
    return Backhaul(keys_of(8, 1), load_parameters({"backhaul": changes}).backhaul)


def test_that_reads_leave_one_after_another() -> None:
    passage = backhaul(loss_share=0.0).up(Frames.of(np.zeros(100, int), START_S, READ, np.arange(100), 12_500))
    assert (np.diff(passage.arrives_s) >= 0).all()
    assert passage.arrives_s[-1] - START_S >= 100 * 0.1


def test_that_what_is_urgent_goes_ahead_of_what_waits() -> None:
    for urgent in (ALARM, GASP, DeliveryClass.CONTROL):
        link = backhaul(loss_share=0.0)
        bulk = link.up(Frames.of(np.zeros(100, int), START_S, READ, np.arange(100), 12_500))
        later = link.up(Frames.of([0], START_S + 2.0, urgent, 1, 100))
        assert later.arrives_s[0] < START_S + 3
        assert later.arrives_s[0] < np.median(bulk.arrives_s)
        # Given at once, too.
        kinds = np.where(np.arange(100) == 99, int(urgent), int(READ))
        at_once = backhaul(loss_share=0.0).up(Frames.of(np.zeros(100, int), START_S, kinds, np.arange(100), 12_500))
        assert at_once.arrives_s[99] < at_once.arrives_s[1:99].min()


def test_that_collectors_do_not_wait_for_each_other() -> None:
    link = backhaul(loss_share=0.0)
    link.up(Frames.of(np.zeros(500, int), START_S, READ, np.arange(500), 12_500))
    assert link.up(Frames.of([1], START_S, READ, 1)).arrives_s[0] < START_S + 1
    assert link.down(Frames.of([0], START_S, READ, 1)).arrives_s[0] < START_S + 1


def test_that_loss_is_delay_and_told() -> None:
    frames = Frames.of(
        np.arange(8).repeat(50), START_S + 10.0 * np.tile(np.arange(50), 8), READ, np.tile(np.arange(50), 8)
    )
    passage = backhaul(loss_share=0.2).up(frames)
    assert passage.arrives.all()
    late = passage.cause == Cause.BACKHAUL
    assert late[passage.attempts > 1].all()
    assert 0.1 < late.mean() < 0.3
    assert (passage.arrives_s - frames.sent_s)[~late].max() <= load_parameters().backhaul.latency_most_s + 0.01


@settings(max_examples=40, deadline=None)
@given(
    waits_s=st.lists(st.floats(0, 2), min_size=1, max_size=40),
    kinds=st.lists(st.sampled_from([READ, ALARM, GASP]), min_size=40, max_size=40),
    loss_share=st.floats(0, 0.9),
    parts=st.integers(1, 40),
)
def test_that_frames_of_a_class_stay_in_order(
    waits_s: list[float], kinds: list[DeliveryClass], loss_share: float, parts: int
) -> None:
    link = backhaul(loss_share=loss_share)
    sent_s = START_S + np.cumsum(waits_s)
    own = np.array([int(kind) for kind in kinds[: len(sent_s)]])
    arrives_s = np.concatenate(
        [
            link.up(Frames.of(np.zeros(len(part), int), sent_s[part], own[part], part, 5_000)).arrives_s
            for part in np.array_split(np.arange(len(sent_s)), min(parts, len(sent_s)))
        ]
    )
    assert np.isfinite(arrives_s).all()
    assert (arrives_s >= sent_s).all()
    assert (np.diff(arrives_s[own == READ]) >= 0).all()
    assert (np.diff(arrives_s[own != READ]) >= 0).all()
