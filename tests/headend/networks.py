"""Radial networks for the outage tests, drawn by hypothesis or written by hand."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from headend.outages.model import Classes, NetworkModel, classes_of


@dataclass(frozen=True)
class Radial:
    """A tree of devices d0, d1, … (`parents[i]` < i, −1 at the top) and meters, each at a device."""

    parents: tuple[int, ...]
    at: tuple[int, ...]

    @property
    def model(self) -> NetworkModel:
        names = [f"d{number}" for number in range(len(self.parents))]
        return NetworkModel(
            kinds=dict.fromkeys(names, "line"),
            parents={name: None if above < 0 else f"d{above}" for name, above in zip(names, self.parents, strict=True)},
            feeding={f"UP{meter}": f"d{device}" for meter, device in enumerate(self.at)},
        )

    @property
    def classes(self) -> Classes:
        return classes_of(self.model, [f"UP{meter}" for meter in range(len(self.at))])

    def below(self, device: int) -> frozenset[int]:
        """The meters that go dark with a device; found by walking up from each, not as the code under test does it."""
        found = set()
        for meter, at in enumerate(self.at):
            while at >= 0:
                if at == device:
                    found.add(meter)
                at = self.parents[at]
        return frozenset(found)


@st.composite
def radials(draw: st.DrawFn, *, max_devices: int = 12, max_meters: int = 14) -> Radial:
    """At least one meter; devices without any are part of the game."""
    count = draw(st.integers(1, max_devices))
    parents = tuple(draw(st.integers(-1, number - 1)) for number in range(count))
    at = tuple(draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=max_meters)))
    return Radial(parents, at)


def street() -> Radial:
    """d0 a transformer; d1 a section of meters 0–3, each behind its own service d3–d6; d2 one of meters 4–9."""
    return Radial(parents=(-1, 0, 0, 1, 1, 1, 1, *([2] * 6)), at=tuple(range(3, 13)))
