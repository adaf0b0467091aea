"""A head-end as it is often written first: each reading that comes is stored, and what came meanwhile is gone.

`python plain_writer.py CONNECT_JSON DATABASE_URL`. It knows nothing of amilab but docs/wire-rl-dsp.md. Its fault is the
clean session: while it is down, the broker keeps nothing for it, and it never asks a meter again.
"""

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

TABLE = """
CREATE TABLE IF NOT EXISTS plain_reading (
    meter text NOT NULL, period interval NOT NULL, ended timestamptz NOT NULL, wh_in bigint NOT NULL,
    wh_out bigint NOT NULL, written timestamptz NOT NULL DEFAULT clock_timestamp()
)"""


def main() -> None:
    connect = json.loads(Path(sys.argv[1]).read_text())
    period = timedelta(seconds=connect["interval_length_s"])
    database = psycopg.connect(sys.argv[2], autocommit=True)
    database.execute(TABLE)

    def on_connect(client: mqtt.Client, *_: Any) -> None:
        client.subscribe(connect["topic_filter"], qos=1)

    def on_subscribe(*_: Any) -> None:
        print("ready", flush=True)

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        _, _, meter, kind = message.topic.split("/")
        if kind == "ds":
            reading = json.loads(message.payload)["meter"]
            database.execute(
                "INSERT INTO plain_reading (meter, period, ended, wh_in, wh_out) VALUES (%s, %s, %s, %s, %s)",
                [meter, period, datetime.fromisoformat(reading["ts"]), reading["1.29.0"], reading["2.29.0"]],
            )

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="plain-writer", clean_session=True)
    client.username_pw_set(connect["broker"]["username"], connect["broker"]["password"])
    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.connect(connect["broker"]["host"], connect["broker"]["port"])
    client.loop_forever()


if __name__ == "__main__":
    main()
