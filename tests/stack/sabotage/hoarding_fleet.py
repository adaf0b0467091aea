"""Keeps what opened the broker's door at the start, and tries it at the end: `hoarded.json` among the journals."""

import json
import shutil
import ssl
from collections.abc import Sequence
from pathlib import Path

from lab.lockstep.link import Body
from lab.parts.fleet import Answer, FleetPart
from lab.parts.process import run_part
from lab.services.mqtt_probe import probe


class HoardingPart(FleetPart):
    """The identities of all stations, and the authority, as they were."""

    async def init(self, body: Body, blobs: Sequence[bytes]) -> Answer:
        self._broker = body["broker_host"], body["broker_port"]
        self._now, self._trusted = Path(body["identities"]), Path(body["broker_ca"])
        self._hoard = Path(body["memory"]).with_name("hoard")
        shutil.copytree(self._now, self._hoard)
        shutil.copy(self._trusted, self._hoard / "trusted")
        return await super().init(body, blobs)

    async def finish(self, body: Body, blobs: Sequence[bytes]) -> Answer:
        names = sorted(path.name for path in self._hoard.glob("*.pem"))
        found = {
            "old identity": [await self._answer(self._trusted, self._hoard / name) for name in names],
            "new identity": [await self._answer(self._trusted, self._now / name) for name in names],
            "old authority": await self._answer(self._hoard / "trusted", self._now / names[0]),
        }
        write(Path(body["directory"]) / "hoarded.json", found)
        return await super().finish(body, blobs)

    async def _answer(self, ca: Path, pem: Path) -> str:
        try:
            return (await probe(*self._broker, None, None, 5, tls=(ca, pem))).name
        except ssl.SSLCertVerificationError:
            return "NOT TRUSTED BY US"
        except OSError:
            return "CLOSED"


def write(path: Path, found: object) -> None:
    path.write_text(json.dumps(found))


if __name__ == "__main__":
    run_part("sabotage", lambda _name: HoardingPart().handlers())
