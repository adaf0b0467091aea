"""The command `amilab vendors`: which meters there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from grid.wording import clock
from lab.commands.options import AsJson
from lab.commands.refusal import refusals_shown
from lab.errors import UserError
from lab.fleet.catalogue import Vendor
from lab.wording import printable

WORDS = {
    "reports_itself": "reports by itself",
    "keeps_load_profile": "load profile",
    "reports_outages": "last gasp",
    "has_relay": "relay",
    "has_clock": "clock",
}


def vendors(
    file: Annotated[
        list[Path] | None, typer.Option(help="A vendor profile of your own, too: acme.toml. May be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the vendors whose meters a fleet may have, and which side knows them.

    A fleet takes them by name: `--fleet rl-dsp=0.3,sdm630=0.7`.
    """
    with refusals_shown():
        found = _found(file or [])
    if as_json:
        typer.echo(json.dumps([_document(vendor) for vendor in found], indent=2))
        return
    Console(soft_wrap=False).print(_table(found))


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


def _table(found: list[Vendor]) -> Table:
    table = Table(
        Column("name", no_wrap=True), "meter", "carrier", "interval / report", "can", "from", "known to", expand=False
    )
    for vendor in found:
        interval_s, report_s = vendor.cadence_s
        cadence = clock(interval_s) if interval_s == report_s else f"{clock(interval_s)} / {clock(report_s)}"
        can = ", ".join(WORDS[name] for name, able in vendor.abilities.items() if able)
        known = vendor.sides if vendor.sides == "both" else f"[yellow]{vendor.sides}[/]"
        title, origins = (escape(printable(text)) for text in (vendor.title, ", ".join(vendor.origins)))
        table.add_row(vendor.name, title, vendor.carrier, cadence, can, origins, known)
    return table


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
        "meters": vendor.profile is not None,
        "headend": vendor.driver is not None,
    }
