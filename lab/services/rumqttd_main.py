"""Serves the broker of the `iotcore` wheel in this process: `python rumqttd_main.py rumqttd.toml`."""

from __future__ import annotations

import logging
import sys

from iotcore import IotCoreBroker

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # It wraps the routing of each packet in an error span, which would arrive here as an error each.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    IotCoreBroker(config_path=sys.argv[1]).run_forever()
