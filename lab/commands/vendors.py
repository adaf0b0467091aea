"""The command `amilab vendors`: which meters there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from lab.commands.options import AsJson
from lab.commands.refusal import refusals_shown
from lab.errors import UserError
from lab.fleet.catalogue import Vendor
from lab.wording import printable
from meters.vendors.profile import VendorProfile

WORDS = {
    "reports_itself": "reports by itself",
    "keeps_load_profile": "load profile",
    "reports_outages": "last gasp",
    "has_relay": "relay",
    "has_clock": "clock",
}


def vendors(
    name: Annotated[str | None, typer.Argument(help="One vendor: every fact of its profile, with its source.")] = None,
    file: Annotated[
        list[Path] | None, typer.Option(help="A vendor profile of your own, too: acme.toml. May be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the vendors whose meters a fleet may have, and which side knows them.

    A fleet takes them by name: `--fleet rl-dsp=0.3,sdm630=0.7`.
    """
    with refusals_shown():
        found = _named(_found(file or []), name)
    if as_json:
        typer.echo(json.dumps([_document(vendor) for vendor in found], indent=2))
        return
    console = Console(highlight=False)
    for vendor in found:
        head, *rest = _lines(vendor)
        console.print(head)
        # One that only the head-end knows has no title.
        for line in filter(None, rest):
            console.print(Padding(line, (0, 0, 0, 2)))
    if name is not None and found[0].profile is not None:
        _print_facts(console, found[0].profile)


def _found(files: list[Path]) -> list[Vendor]:
    from lab.fleet.catalogue import of_file
    from lab.fleet.catalogue import vendors as all_vendors
    from meters.errors import ProfileError
    from meters.vendors.registry import read_profile

    try:
        own = [of_file(read_profile(path), str(path)) for path in files]
    except ProfileError as error:
        raise UserError(str(error), "docs/add-a-meter.md shows what such a file has.") from error
    return [*all_vendors(), *own]


def _named(found: list[Vendor], name: str | None) -> list[Vendor]:
    """Raises UserError: there is none of this name."""
    chosen = [vendor for vendor in found if name in (None, vendor.name)]
    if not chosen:
        known = ", ".join(vendor.name for vendor in found)
        raise UserError(f"there is no vendor {name!r}; there are {known}")
    return chosen


def _print_facts(console: Console, profile: VendorProfile) -> None:
    for document in profile.documents:
        console.print(
            Padding(f"{escape(printable(document.title))}: {escape(printable(document.used_for))}", (0, 0, 0, 2))
        )
    table = Table("fact", "value", "source", box=None, padding=(0, 2, 0, 0))
    for fact, (value, source) in _facts(profile).items():
        table.add_row(fact, escape(printable(str(value))), escape(printable(source)))
    console.print(table)


def _facts(profile: VendorProfile) -> dict[str, tuple[object, str]]:
    """Value and source of each, in the order of the profile."""
    values = profile.facts.model_dump(mode="json")
    return {fact: (values.get(fact), source) for fact, source in profile.sources.items()}


def _lines(vendor: Vendor) -> tuple[str, str, str]:
    """What it is called and how it speaks; what it is; what it can. A table of these has no room in 80 columns."""
    interval_s, report_s = vendor.cadence_s
    cadence = _short(interval_s) + ("" if interval_s == report_s else f", told every {_short(report_s)}")
    known = "both sides" if vendor.sides == "both" else f"[yellow]{vendor.sides}[/]"
    title, origins = (escape(printable(text)) for text in (vendor.title, ", ".join(vendor.origins)))
    can = [WORDS[name] for name, able in vendor.abilities.items() if able]
    can += [] if vendor.driver is None else sorted(vendor.driver.capabilities.purposes)
    head = f"[bold]{vendor.name}[/]  {vendor.carrier}, {cadence}; known to {known}, from {origins}"
    return head, title, f"[dim]{', '.join(can)}[/]"


def _short(length_s: int) -> str:
    return f"{length_s // 60} min" if length_s % 60 == 0 else f"{length_s} s"


def _document(vendor: Vendor) -> dict[str, Any]:
    interval_s, report_s = vendor.cadence_s
    return {
        "name": vendor.name,
        "title": vendor.title,
        "wire": vendor.name if vendor.profile is None else vendor.profile.wire,
        "carrier": vendor.carrier,
        "interval_length_s": interval_s,
        "report_every_s": report_s,
        "capabilities": vendor.abilities,
        "purposes": [] if vendor.driver is None else sorted(vendor.driver.capabilities.purposes),
        "last_verifier": None if vendor.driver is None else vendor.driver.capabilities.last_verifier,
        "from": list(vendor.origins),
        "documents": [] if vendor.profile is None else [each.model_dump() for each in vendor.profile.documents],
        "facts": {}
        if vendor.profile is None
        else {fact: {"value": value, "source": source} for fact, (value, source) in _facts(vendor.profile).items()},
        "meters": vendor.profile is not None,
        "headend": vendor.driver is not None,
    }
