"""An MQTT broker of the run's own: mosquitto if the system has it, else rumqttd from the wheel `iotcore`."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from lab.errors import UserError
from lab.pki import Authority, write_identity
from lab.services.broker_config import (
    ACL,
    AUTHORITIES,
    HEAD_END,
    HEAD_END_HOST,
    PASSWORDS,
    SERVER,
    BrokerUser,
    MosquittoPlaces,
    mosquitto_acl,
    mosquitto_configuration,
    mosquitto_passwords,
    mosquitto_patterns,
    rumqttd_configuration,
)
from lab.services.host import give_to, unprivileged_identity
from lab.services.mqtt_probe import ConnectAnswer, probe
from lab.services.ports import ReservedPort
from lab.supervisor import ProcessSpec, Supervisor

CHOICE_VARIABLE = "AMILAB_BROKER"
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
    """Mosquitto lets in whoever has an identity of this authority, `clients` of them at once."""

    authority: Authority
    clients: int
    head_ends: tuple[str, ...] = (HEAD_END, HEAD_END_HOST)


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
        log_denials: bool = False,
    ) -> None:
        """:param certificates: instead of passwords, if the broker is mosquitto.
        :param log_denials: have mosquitto say whom it denies what, beside all else that it does.
        """
        self._directory = work_directory / "broker"
        self._supervisor = supervisor
        self._program = program or find_broker()
        self._reserved = ReservedPort()
        # The ready check connects as a user of its own, who may touch no topic.
        self._probe = BrokerUser(f"_probe_{secrets.token_hex(4)}", secrets.token_urlsafe(16), (), ())
        self._users = [*users, self._probe]
        self.kind = self._program.kind
        self.version = self._program.version
        self.enforces_topics = self._program.kind == "mosquitto"
        self._log_denials = log_denials
        self._certificates = certificates if self._program.kind == "mosquitto" else None

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
    def ca(self) -> Path | None:
        """Where the certificates are that it is to be trusted by; None if it does not talk TLS."""
        return None if self._certificates is None else self._directory / AUTHORITIES

    def rotate(self, trusted: Sequence[Authority], issuer: Authority) -> None:
        """Show a new certificate of `issuer`, and trust the identities of `trusted`, from the next connections on.

        Connections that stand are not touched.
        """
        assert self._certificates is not None, "a broker without TLS has no certificates"
        self._write_certificates(trusted, issuer)
        # mosquitto reads its certificates again at SIGHUP (mosquitto.conf(5), "Reloading").
        os.kill(self._supervisor.pid(_NAME), signal.SIGHUP)

    def close(self) -> None:
        """Give the port back."""
        self._reserved.close()

    def _configure_mosquitto(self) -> ProcessSpec:
        identity = unprivileged_identity()
        places = MosquittoPlaces.below(self._directory, self.port)
        certificates = self._certificates
        if certificates is None:
            files = {
                "mosquitto.conf": mosquitto_configuration(
                    places, clients=len(self._users), passwords=True, log_denials=self._log_denials
                ),
                PASSWORDS: mosquitto_passwords(self._users),
                ACL: mosquitto_acl(self._users),
            }
        else:
            files = {
                "mosquitto.conf": mosquitto_configuration(
                    places, clients=certificates.clients, log_denials=self._log_denials
                ),
                ACL: mosquitto_patterns(certificates.head_ends),
            }
            self._write_certificates([certificates.authority], certificates.authority)
        for name, text in files.items():
            path = self._directory / name
            path.touch(0o600)
            path.write_text(text)
            give_to(path, identity)
        give_to(self._directory, identity)
        if certificates is not None:
            # The devices' fleets read from it, too, and run as whoever the lab is.
            self._directory.chmod(0o711)
        argv = [str(self._program.path), "-c", str(self._directory / "mosquitto.conf")]
        return ProcessSpec(_NAME, argv, directory=self._directory, identity=identity)

    def _write_certificates(self, trusted: Sequence[Authority], issuer: Authority) -> None:
        identity = unprivileged_identity()
        authorities = self._directory / AUTHORITIES
        draft = authorities.with_name(f".{AUTHORITIES}")
        draft.write_bytes(b"".join(authority.pem for authority in trusted))
        draft.chmod(0o644)
        draft.replace(authorities)
        pem = issuer.issue("broker", hosts=[self.host, "localhost"])
        write_identity(self._directory / SERVER, pem, give=lambda path: give_to(path, identity))
        self._probe_pem = self._directory / "probe.pem"
        write_identity(self._probe_pem, issuer.issue(self._probe.username))

    def _configure_iotcore(self) -> ProcessSpec:
        # As the lab's own user: another could not read a virtual environment below a home directory.
        configuration = self._directory / "rumqttd.toml"
        configuration.touch(0o600)
        configuration.write_text(rumqttd_configuration(self.port, self._users))
        program = Path(__file__).with_name("rumqttd_main.py")
        return ProcessSpec(_NAME, [sys.executable, str(program), str(configuration)], directory=self._directory)

    async def _serve(self) -> None:
        await self._supervisor.start(self._spec)
        await self._supervisor.until_ready(_NAME, self._answers)

    async def _answers(self) -> bool:
        user = self._probe
        tls = None if self.ca is None else (self.ca, self._probe_pem)
        try:
            answer = await probe(self.host, self.port, user.username, user.password, _PROBE_TIMEOUT_S, tls=tls)
        except (OSError, TimeoutError):
            return False
        return answer is ConnectAnswer.ACCEPTED
