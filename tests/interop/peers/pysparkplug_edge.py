"""A Sparkplug edge node made of pysparkplug 0.6.1, run with the Python of its own environment.

`pysparkplug_edge.py HOST PORT GROUP EDGE DEVICE`. It does what it reads on stdin, a JSON object a line:

`{"do": "connect", "metrics": […]}`   births of the edge node and of the device with these metrics
`{"do": "update", "metrics": […]}`    DDATA
`{"do": "deregister"}`                DDEATH
`{"do": "disconnect"}`                NDEATH, DISCONNECT
`{"do": "vanish"}`                    the process ends without DISCONNECT: the broker publishes the will

A metric is `[name, type, value, timestamp_ms]`. Done lines are repeated on stdout as `{"done": …}`; commands that it
receives are said as `{"commanded": [[name, value], …]}`.
"""

import json
import os
import sys
import threading
from typing import Any

from pysparkplug import Client, DataType, Device, EdgeNode, Metric
from pysparkplug._protobuf import Payload


class UntypedCommands(Client):
    """The package's client, which reads no command without the data types that should not be there (6.4.6)."""

    def _handle_message(self, mqtt_message: Any) -> Any:
        payload = Payload.FromString(mqtt_message.payload)
        for metric in payload.metrics:
            if not metric.HasField("datatype"):
                is_boolean = metric.WhichOneof("value") == "boolean_value"
                metric.datatype = int(DataType.BOOLEAN if is_boolean else DataType.STRING)
        mqtt_message.payload = payload.SerializeToString()
        return super()._handle_message(mqtt_message)


def say(**line: object) -> None:
    print(json.dumps(line, default=str), flush=True)


def metrics_of(rows: list[list[Any]]) -> list[Any]:
    return [
        Metric(timestamp=timestamp_ms, name=name, datatype=DataType[kind], value=value, is_null=value is None)
        for name, kind, value, timestamp_ms in rows
    ]


def say_commanded(_edge: Any, message: Any) -> None:
    say(commanded=[[metric.name, metric.value] for metric in message.payload.metrics])


def end_at_once(failure: threading.ExceptHookArgs) -> None:
    threading.__excepthook__(failure)
    os._exit(1)


def main(host: str, port: str, group: str, edge: str, device: str) -> None:
    threading.excepthook = end_at_once
    client = UntypedCommands(client_id=f"{group}-{edge}")
    node = EdgeNode(group, edge, metrics=(), client=client, cmd_callback=say_commanded)
    say(started=True)
    for line in sys.stdin:
        wanted = json.loads(line)
        if wanted["do"] == "connect":
            node.register(Device(device, metrics_of(wanted["metrics"]), cmd_callback=say_commanded))
            node.connect(host, port=int(port))
        elif wanted["do"] == "update":
            node.update_device(device, metrics_of(wanted["metrics"]))
        elif wanted["do"] == "deregister":
            node.deregister(device)
        elif wanted["do"] == "disconnect":
            node.disconnect()
        elif wanted["do"] == "vanish":
            os._exit(0)
        say(done=wanted["do"])


main(*sys.argv[1:])
