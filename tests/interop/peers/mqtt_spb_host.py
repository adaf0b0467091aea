"""A Sparkplug host made of mqtt-spb-wrapper 2.1.2, run with the Python of its own environment.

`mqtt_spb_host.py HOST PORT GROUP`. What it sees goes to stdout, a JSON object a line: `{"saw": "DBIRTH", "edge",
"device", "seq", "metrics", "latest"}`, where `latest` are the values that it shows for the entity from then on; first
of all `{"subscribed": true}`. Commands come on stdin, `{"edge", "device", "name", "value"}`. It leaves at the end of
stdin.
"""

import functools
import json
import os
import sys
import threading
from typing import Any

from mqtt_spb_wrapper import MqttSpbEntityScada
from mqtt_spb_wrapper.spb_protobuf import Payload


class Host(MqttSpbEntityScada):
    """The wrapper's host, taught aliases.

    mqtt-spb-wrapper 2.1.2 writes aliases but does not read them: its parser drops the value of a metric without a data
    type, and its entities die of a KeyError at one without a name, both of which the specification (6.4.7) wants left
    out of DDATA when there is an alias. So names and types are put back here, from the births, before it looks.
    """

    def __init__(self, group: str) -> None:
        super().__init__(group, "foreign-host")
        self._known: dict[tuple[str, ...], dict[int, Any]] = {}

    def _mqtt_on_message(self, client: Any, userdata: Any, msg: Any) -> None:
        kind, entity = msg.topic.split("/")[2], tuple(msg.topic.split("/")[3:])
        if kind in ("NBIRTH", "DBIRTH"):
            metrics = Payload.FromString(msg.payload).metrics
            self._known[entity] = {metric.alias: metric for metric in metrics if metric.HasField("alias")}
        elif kind in ("NDATA", "DDATA"):
            payload = Payload.FromString(msg.payload)
            for metric in payload.metrics:
                if metric.HasField("alias"):
                    born = self._known[entity][metric.alias]
                    metric.name, metric.datatype = born.name, born.datatype
            msg.payload = payload.SerializeToString()
        super()._mqtt_on_message(client, userdata, msg)


def say(**line: object) -> None:
    print(json.dumps(line, default=str), flush=True)


def say_seen(scada: Host, topic: Any, payload: dict[str, Any]) -> None:
    node = scada.entities_eon[topic.eon_name]
    entity = node if topic.eon_device_name is None else node.entities_eond[topic.eon_device_name]
    metrics = [
        {
            "name": metric.get("name"),
            "timestamp_ms": int(metric["timestamp"]) if "timestamp" in metric else None,
            "value": metric.get("value"),
            "null": metric.get("isNull", False),
            "historical": metric.get("isHistorical", False),
            "unit": metric.get("properties", {}).get("key_value", {}).get("engUnit"),
        }
        for metric in payload.get("metrics", [])
    ]
    say(
        saw=topic.message_type,
        edge=topic.eon_name,
        device=topic.eon_device_name,
        seq=int(payload["seq"]) if "seq" in payload else None,
        metrics=metrics,
        latest={item.name: item.value for item in entity.data.values()},
    )


def end_at_once(failure: threading.ExceptHookArgs) -> None:
    threading.__excepthook__(failure)
    os._exit(1)


def main(host: str, port: str, group: str) -> None:
    threading.excepthook = end_at_once
    scada = Host(group)
    scada.callback_birth = scada.callback_data = scada.callback_death = functools.partial(say_seen, scada)

    def connected(code: int) -> None:
        # It subscribes at each connection, but tells nobody when the broker has agreed.
        scada._mqtt.on_subscribe = lambda *_: say(subscribed=code == 0)

    scada.on_connect = connected
    if not scada.connect(host, int(port)):
        raise SystemExit("not connected")
    for line in sys.stdin:
        wanted = json.loads(line)
        scada.send_command(wanted["name"], wanted["value"], wanted["edge"], wanted["device"])
    scada.disconnect()


main(*sys.argv[1:])
