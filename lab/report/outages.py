"""Injected against detected outages for reading: each with what the head-end made of it and the evidence it had."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from grid.wording import counted
from lab.verdict.detected import DetectedOutage, Share
from lab.verdict.detection import LEAST_OVERLAP, Detection, Match, nearest
from lab.verdict.outages import InjectedOutage

SHARES_SHOWN = 60


@dataclass(frozen=True, slots=True)
class OutageRow:
    """One outage: as it was (`injected`), as the head-end has it (`detected`); at least one of the two.

    `right`: nothing is to be said against it. `remarks`: what is to be said of it. `equivalent`: why another device is
    right as well; empty where it is the same, or wrong.
    """

    kind: str
    right: bool
    injected: InjectedOutage | None
    detected: DetectedOutage | None
    remarks: tuple[str, ...]
    evidence: str
    shares: tuple[Share, ...]
    equivalent: str = ""

    @property
    def injected_device(self) -> str:
        return "" if self.injected is None else _of(self.injected.device_id, self.injected.conductor)

    @property
    def detected_device(self) -> str:
        if self.detected is None or not self.detected.device:
            return "no device"
        return _of(self.detected.device, self.detected.phase)

    @property
    def cut(self) -> int:
        """Customers that are not listed."""
        return 0 if self.detected is None else self.detected.customers - len(self.shares)


@dataclass(frozen=True, slots=True)
class IndexRow:
    name: str
    meaning: str
    true: str
    detected: str


@dataclass(frozen=True, slots=True)
class OutageReport:
    rows: tuple[OutageRow, ...]
    indices: tuple[IndexRow, ...]


def device_name(device: str) -> str:
    """`section T_35-S28`, of the network model's `section:T_35-S28`; a service is named by its customer."""
    kind, colon, name = device.partition(":")
    return f"{kind.replace('_', ' ')} {name}" if colon and kind else device


def _of(device: str, conductor: str | None) -> str:
    return device_name(device) if conductor is None else f"{device_name(device)}, {conductor} alone"


def describe(detection: Detection) -> OutageReport:
    """Every injected and every detected outage once, by time."""
    rows = [
        *_told(detection.injected, detection.detected, detection.matches, "sustained"),
        *_told(detection.momentary_injected, detection.momentary_detected, detection.momentary_matches, "momentary"),
    ]
    return OutageReport(tuple(sorted(rows, key=_start_s)), _indices(detection))


def _start_s(row: OutageRow) -> float:
    return row.injected.start_s if row.injected is not None else row.detected.start_s if row.detected else math.inf


def _told(
    injected: Iterable[InjectedOutage], detected: Iterable[DetectedOutage], matches: Iterable[Match], kind: str
) -> list[OutageRow]:
    injected = tuple(injected)
    by_truth = {id(match.injected): match for match in matches}
    matched = {match.detected.name for match in matches}
    rows = []
    for outage in injected:
        match = by_truth.get(id(outage))
        if match is None:
            text = "not found" if kind == "sustained" else "not recorded as momentary"
            rows.append(OutageRow(kind, False, outage, None, (text,), "", ()))
        else:
            # The device of a momentary interruption is not judged.
            right = match.localised or kind == "momentary"
            rows.append(_row(kind, right, outage, match.detected, _remarks(match), _equivalent(match)))
    rows += [
        _row(kind, kind == "momentary", None, outage, (_unmatched(injected, outage),))
        for outage in detected
        if outage.name not in matched
    ]
    return rows


def _row(
    kind: str,
    right: bool,
    injected: InjectedOutage | None,
    detected: DetectedOutage,
    remarks: tuple[str, ...],
    equivalent: str = "",
) -> OutageRow:
    shares = sorted(detected.shares, key=lambda share: (share.gasp_s or math.inf, share.usage_point))
    shown = tuple(shares[:SHARES_SHOWN])
    return OutageRow(kind, right, injected, detected, remarks, _evidence(detected), shown, equivalent)


def _equivalent(match: Match) -> str:
    """The verdict's classes: devices whose opening darkens the same meters."""
    if not match.localised or match.detected.device in (None, match.injected.device_id):
        return ""
    other = device_name(match.injected.device_id)
    if match.injected.conductor is not None:
        return f"equivalent to {other}: no meter that tells of this conductor is behind one of them alone"
    return f"equivalent to {other}: either darkens the same {counted(match.injected.customers, 'meter')}"


def _unmatched(injected: Iterable[InjectedOutage], detected: DetectedOutage) -> str:
    near = nearest(injected, detected)
    if near is None:
        return "never was"
    truth, share = near
    where = _of(truth.device_id, truth.conductor)
    if share >= LEAST_OVERLAP:
        return f"{_overlap(share)} with {where}, which another one matches better"
    return f"{_overlap(share)} with {where}: less than half, so it counts as one that never was"


def _overlap(share: float) -> str:
    return f"{math.floor(share * 1000) / 10:g} % overlap"


def _remarks(match: Match) -> tuple[str, ...]:
    remarks = [f"found after {match.detect_s:,.0f} s", _overlap(match.overlap)]
    if not match.localised:
        remarks.append("another device")
    return tuple(remarks)


def _evidence(outage: DetectedOutage) -> str:
    gasps = sum(share.gasp_s is not None for share in outage.shares)
    restores = sum(share.back_s is not None for share in outage.shares)
    inferred = sum(share.gasp_s is None and share.back_s is None for share in outage.shares)
    parts = [(gasps, "last gasp"), (restores, "restore"), (inferred, "inferred")]
    return ", ".join(
        f"{count:,} {word}{'s' if count != 1 and word != 'inferred' else ''}" for count, word in parts if count
    )


def _indices(detection: Detection) -> tuple[IndexRow, ...]:
    true, found = detection.true_indices, detection.detected_indices
    return tuple(
        IndexRow(name, meaning, _figure(one), _figure(other))
        for name, meaning, one, other in (
            ("SAIDI", "minutes without supply per customer", true.saidi_min, found.saidi_min),
            ("SAIFI", "sustained interruptions per customer", true.saifi, found.saifi),
            ("CAIDI", "minutes per sustained interruption", true.caidi_min, found.caidi_min),
            ("MAIFI", "momentary interruptions per customer", true.maifi, found.maifi),
        )
    )


def _figure(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.4f}"
