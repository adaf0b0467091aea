"""A head-end whose records of the network have the transformers' names mixed up."""

import json
from collections.abc import Sequence
from pathlib import Path

from lab.lockstep.link import Body
from lab.parts.headend import Answer, HeadPart
from lab.parts.process import run_part


class MisledHeadPart(HeadPart):
    async def init(self, body: Body, blobs: Sequence[bytes]) -> Answer:
        settings = body["settings"]
        wrong = mixed_up(Path(settings["network_model"]))
        return await super().init({**body, "settings": {**settings, "network_model": str(wrong)}}, blobs)


def mixed_up(model: Path) -> Path:
    document = json.loads(model.read_text())
    names = [device["id"] for device in document["devices"] if device["kind"] == "transformer"]
    new = dict(zip(names, [*names[1:], names[0]], strict=True))
    for device in document["devices"]:
        device["id"] = new.get(device["id"], device["id"])
        device["parent"] = new.get(device["parent"], device["parent"])
    wrong = model.with_name("wrong-network.json")
    wrong.write_text(json.dumps(document))
    return wrong


if __name__ == "__main__":
    run_part("sabotage", lambda _name: MisledHeadPart().handlers())
