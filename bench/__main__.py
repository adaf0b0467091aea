"""`make bench`: the benches named, or all of them, one after the other."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from bench import barrier, broker, communications, grid, ingest, modbus, network, page, peer, phases, timescale
from bench.report import Result

BENCHES: dict[str, Callable[[], Result]] = {
    "grid": grid.measure,
    "barrier": lambda: uvloop.run(barrier.measure()),
    "broker": lambda: asyncio.run(broker.measure()),
    "communications": communications.measure,
    "modbus": lambda: asyncio.run(modbus.measure()),
    "network": network.measure,
    "page": page.measure,
    "peer": lambda: asyncio.run(peer.measure()),
    "phases": phases.measure,
    "timescale": lambda: asyncio.run(timescale.measure()),
}
INGEST = "ingest"


def main(arguments: list[str] | None = None) -> int:
    """Print a table for each. 0, or what the ingest bench says of its aim."""
    known = [*BENCHES, INGEST]
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measurements, as ratios taken in one run.")
    parser.add_argument("bench", nargs="*", help=f"{', '.join(known)}; all by default")
    parser.add_argument("--json", type=Path, help="write the figures of all but ingest to this file")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.bench if name not in known]
    if unknown:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = options.bench or known
    results = []
    for name in chosen:
        if name in BENCHES:
            results.append(BENCHES[name]())
            print(results[-1].table(), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([result.to_json() for result in results], indent=2) + "\n")
    return ingest.main([]) if INGEST in chosen else 0


if __name__ == "__main__":
    sys.exit(main())
