"""An MQTT broker of the run's own: mosquitto if the system has it, else rumqttd from the wheel `iotcore`."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from lab.errors import UserError
from lab.keys.keyring import KeyPlaces, Keyring, Receivers
from lab.keys.pki import write_file
from lab.processes.interpreter import python
from lab.processes.supervisor import ProcessSpec, Supervisor
from lab.services.broker_config import (
    ACL,
    COMPRESSED_TIME,
    HEAD_END,
    HEAD_END_HOST,
    PASSWORDS,
    AddressLimit,
    BrokerUser,
    Guard,
    MosquittoPlaces,
    RateLimit,
    mosquitto_acl,
    mosquitto_configuration,
    mosquitto_passwords,
    mosquitto_patterns,
    rumqttd_configuration,
)
from lab.services.broker_guard import build_guard
from lab.services.host import give_to, unprivileged_identity
from lab.services.mqtt_probe import ConnectAnswer, probe, until_shown
from lab.services.ports import LOOPBACK, ReservedPort

CHOICE_VARIABLE = "AMILAB_BROKER"
DIRECTORY = "broker"
_NAME = "broker"
_PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class BrokerProgram:
    """Which broker serves the run. `path` is mosquitto's; iotcore is a Python package."""

    kind: Literal["mosquitto", "iotcore"]
    version: str
    path: Path | None = None


def find_broker(choice: str | None = None) -> BrokerProgram:
    """mosquitto ≥ 2 from the system, else iotcore.

    `choice`, by default the variable AMILAB_BROKER, is "mosquitto" or "iotcore" to insist on one. Raises UserError.
    """
    choice = choice or os.environ.get(CHOICE_VARIABLE, "auto")
    if choice not in ("auto", "mosquitto", "iotcore"):
        raise UserError(f"{CHOICE_VARIABLE} is {choice!r}", "Set it to 'mosquitto' or 'iotcore', or unset it.")
    found = _find_mosquitto() if choice in ("auto", "mosquitto") else None
    if found is None and choice in ("auto", "iotcore"):
        found = _find_iotcore()
    if found is None:
        raise UserError(
            f"no MQTT broker was found ({CHOICE_VARIABLE}={choice})",
            "Install one (apt install mosquitto, or pip install iotcore), or pass --broker-url.",
        )
    return found


def _find_mosquitto() -> BrokerProgram | None:
    # Debian installs it where an ordinary user's PATH does not look.
    program = shutil.which(
        "mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )
    if program is None:
        return None
    answer = subprocess.run([program, "-h"], capture_output=True, text=True, check=False)
    number = re.search(r"mosquitto version (2\.\S+)", answer.stdout)
    return BrokerProgram("mosquitto", f"mosquitto {number[1]}", Path(program)) if number else None


def _find_iotcore() -> BrokerProgram | None:
    try:
        return BrokerProgram("iotcore", f"iotcore {version('iotcore')} (rumqttd)")
    except PackageNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class Certificates:
    """Mosquitto lets in whoever has an identity from this keyring, `clients` of them at once.

    The keyring is one of `keyring_below`. Without `rate` there is no guard. `address`: limits for each source address,
    none by default, since on loopback everybody has as many as they like, and a whole fleet may have only one.
    """

    keyring: Keyring
    clients: int
    head_ends: tuple[str, ...] = (HEAD_END, HEAD_END_HOST)
    rate: RateLimit | None = COMPRESSED_TIME
    address: AddressLimit | None = None


def keyring_below(work: Path) -> Keyring:
    """A new keyring for the broker that is to be in this directory."""
    vault = work / "keys"
    vault.mkdir(mode=0o700)
    places = KeyPlaces(vault, work / DIRECTORY, work / "authorities.pem", work / "identities", work / "headend")
    identity = unprivileged_identity()
    give = Receivers(broker=lambda path: give_to(path, identity))
    return Keyring(places, broker_hosts=[LOOPBACK, "localhost"], give=give)


class EmbeddedBroker:
    """One broker on 127.0.0.1 that lets in the given users, or who has a certificate, and nobody else."""

    def __init__(
        self,
        work_directory: Path,
        supervisor: Supervisor,
        users: Sequence[BrokerUser],
        program: BrokerProgram | None = None,
        *,
        certificates: Certificates | None = None,
    ) -> None:
        """:param certificates: instead of passwords, if the broker is mosquitto."""
        self._directory = work_directory / DIRECTORY
        self._supervisor = supervisor
        self._program = program or find_broker()
        self._reserved = ReservedPort()
        # The ready check connects as a user of its own, who may touch no topic.
        self._probe = BrokerUser(f"_probe_{secrets.token_hex(4)}", secrets.token_urlsafe(16), (), ())
        self._users = [*users, self._probe]
        self.kind = self._program.kind
        self.version = self._program.version
        self.enforces_topics = self._program.kind == "mosquitto"
        self._certificates = certificates if self._program.kind == "mosquitto" else None
        self.unguarded: str | None = None
        """Why the guard cannot be built, where it should be."""

    @property
    def host(self) -> str:
        return self._reserved.host

    @property
    def port(self) -> int:
        return self._reserved.port

    async def start(self) -> None:
        """Write the configuration and serve. Raises PartFailed with the broker's own words."""
        self._directory.mkdir()
        self._spec = self._configure_mosquitto() if self._program.path else self._configure_iotcore()
        await self._serve()

    async def kill(self) -> None:
        """SIGKILL."""
        await self._supervisor.kill(_NAME)

    async def restart(self) -> None:
        """Serve again after `kill` or `stop`, on the same port; mosquitto with the state that it had saved."""
        await self._serve()

    async def stop(self) -> None:
        await self._supervisor.stop(_NAME)

    @property
    def keyring(self) -> Keyring | None:
        """Of a broker that knows its clients by certificate."""
        return None if self._certificates is None else self._certificates.keyring

    async def reload(self) -> None:
        """Have it read certificates, authorities and revocations again; returns when it has.

        Connections that stand are not touched. If it does not serve, it reads them when it does again.
        """
        assert self.keyring is not None, "a broker without TLS has no certificates"
        tls = self._credentials(self.keyring)
        if self._supervisor.is_running(_NAME):
            os.kill(self._supervisor.pid(_NAME), signal.SIGHUP)
            await until_shown(self.keyring.server_serial, self.host, self.port, tls)

    def close(self) -> None:
        """Give the port back."""
        self._reserved.close()

    def _configure_mosquitto(self) -> ProcessSpec:
        identity = unprivileged_identity()
        places = MosquittoPlaces.below(self._directory, self.port)
        certificates = self._certificates
        guard = None
        # The keyring gives the broker its files, and may need to look where they are.
        give_to(self._directory, identity)
        if certificates is None:
            files = {
                "mosquitto.conf": mosquitto_configuration(places, clients=len(self._users), passwords=True),
                PASSWORDS: mosquitto_passwords(self._users),
                ACL: mosquitto_acl(self._users),
            }
        else:
            certificates.keyring.write_trust()
            guard = self._build_guard(certificates)
            files = {
                "mosquitto.conf": mosquitto_configuration(places, clients=certificates.clients, guard=guard),
                ACL: mosquitto_patterns(certificates.head_ends),
            }
        for name, text in files.items():
            write_file(self._directory / name, text.encode(), give=lambda path: give_to(path, identity))
        argv = [str(self._program.path), "-c", str(self._directory / "mosquitto.conf")]
        preloaded = {"LD_PRELOAD": guard.library} if guard is not None and guard.address is not None else {}
        return ProcessSpec(_NAME, argv, environment=preloaded, directory=self._directory, identity=identity)

    def _build_guard(self, certificates: Certificates) -> Guard | None:
        if certificates.rate is None:
            return None
        library = self._directory / "guard.so"
        self.unguarded = build_guard(library)
        if self.unguarded is not None:
            return None
        give_to(library, unprivileged_identity())
        return Guard(str(library), certificates.rate, certificates.address)

    def _credentials(self, keyring: Keyring) -> tuple[Path, Path]:
        return keyring.places.trust, keyring.probe(self._probe.username)

    def _configure_iotcore(self) -> ProcessSpec:
        # As the lab's own user: another could not read a virtual environment below a home directory.
        configuration = self._directory / "rumqttd.toml"
        configuration.touch(0o600)
        configuration.write_text(rumqttd_configuration(self.port, self._users))
        program = Path(__file__).with_name("rumqttd_main.py")
        return ProcessSpec(_NAME, python(str(program), str(configuration)), directory=self._directory)

    async def _serve(self) -> None:
        await self._supervisor.start(self._spec)
        await self._supervisor.until_ready(_NAME, self._answers)

    async def _answers(self) -> bool:
        user = self._probe
        tls = None if self.keyring is None else self._credentials(self.keyring)
        try:
            answer = await probe(self.host, self.port, user.username, user.password, _PROBE_TIMEOUT_S, tls=tls)
        except (OSError, TimeoutError):
            return False
        return answer is ConnectAnswer.ACCEPTED
