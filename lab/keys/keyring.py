"""Everybody's keys and certificates: who is trusted, who is who, and how that is rotated. docs/broker.md.

A rotation has two ends. From `begin` on everybody's identity is new, of a new authority if it is that which rotates,
and what was before is trusted too; from `finish` on it is not. All of it is in files, so another process may finish
what one has begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import UserError
from lab.keys.pki import Authority, serial_of, write_file

AUTHORITIES, REVOKED, SERVER = "ca.pem", "crl.pem", "server.pem"
"""What a broker reads: whom to trust, whom no more, and who it is itself."""
AUTHORITY = "ca.key"
"""In the vault: key and certificate that sign."""
RETIRING = "ca.retiring.key"
"""In the vault, while it is still trusted: the authority before."""
SUPERSEDED, REFUSED = "superseded", "revoked"
"""In the vault: serial numbers of certificates that are to be refused when the rotation is finished, and that are."""
BROKER = "broker"


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """`vault` is the lab's alone. `broker`: a directory for `ca.pem`, `crl.pem` and `server.pem`. `trust`: the
    authorities for all others. `devices`, `head_end`: directories of identities, `<name>.pem` each.
    """

    vault: Path
    broker: Path
    trust: Path
    devices: Path
    head_end: Path


def _keep(_path: Path) -> None:
    """It is ours already."""


@dataclass(frozen=True, slots=True)
class Receivers:
    """Make a file belong to whom it is for."""

    vault: Callable[[Path], object] = _keep
    broker: Callable[[Path], object] = _keep
    device: Callable[[Path], object] = _keep


class Keyring:
    """The keys in `places`. The vault must exist."""

    def __init__(self, places: KeyPlaces, *, broker_hosts: Sequence[str], give: Receivers | None = None) -> None:
        """:param broker_hosts: names and addresses under which the broker is reached.

        :raises UserError: an authority in the vault cannot be read.
        """
        self.places = places
        self._hosts = broker_hosts
        self._give = give or Receivers()
        if not (places.vault / AUTHORITY).exists():
            Authority.create().save(places.vault / AUTHORITY, give=self._give.vault)

    @property
    def authority(self) -> Authority:
        """That issues."""
        return Authority.load(self.places.vault / AUTHORITY)

    @property
    def trusted(self) -> list[Authority]:
        retiring = self.places.vault / RETIRING
        return [self.authority, *([Authority.load(retiring)] if retiring.exists() else [])]

    @property
    def is_rotating(self) -> bool:
        """Whether a rotation has begun and is not finished."""
        return any((self.places.vault / name).exists() for name in (RETIRING, SUPERSEDED))

    @property
    def server_serial(self) -> int:
        """Of the certificate that the broker is to show."""
        return serial_of((self.places.broker / SERVER).read_bytes())

    def write_trust(self) -> None:
        """Tell everybody whom to trust, and give the broker a new certificate. It has to be told to read them again."""
        trusted, refused = self.trusted, self._serials(REFUSED)
        authorities = b"".join(authority.pem for authority in trusted)
        # Whoever connects to the broker must trust its next certificate before it is shown.
        write_file(self.places.trust, authorities, give=self._give.device)
        broker = self.places.broker
        write_file(broker / AUTHORITIES, authorities, give=self._give.broker)
        revocations = b"".join(authority.revocations(refused) for authority in trusted)
        write_file(broker / REVOKED, revocations, give=self._give.broker)
        write_file(broker / SERVER, self.authority.issue(BROKER, hosts=self._hosts), give=self._give.broker)

    def issue(self, stations: Iterable[str], head_ends: Iterable[str]) -> None:
        """Give everybody an identity, and nobody else: those of others are removed."""
        issuer = self.authority
        for directory, names in ((self.places.devices, set(stations)), (self.places.head_end, set(head_ends))):
            directory.mkdir(mode=0o700, exist_ok=True)
            for path in directory.glob("*.pem"):
                if path.stem not in names:
                    path.unlink()
            for name in sorted(names):
                write_file(directory / f"{name}.pem", issuer.issue(name), give=self._give.device)

    def probe(self, name: str) -> Path:
        """An identity for the lab itself, to ask the broker whether it serves."""
        path = self.places.vault / "probe.pem"
        write_file(path, self.authority.issue(name), give=self._give.vault)
        return path

    def begin(self, *, authority: bool) -> None:
        """Let the broker trust what comes beside what is; then tell it, and `reissue`.

        :param authority: a new one issues from now on.
        :raises UserError: the file of an identity holds something else. Nothing was changed.
        """
        vault = self.places.vault
        if authority:
            (vault / AUTHORITY).replace(vault / RETIRING)
            Authority.create().save(vault / AUTHORITY, give=self._give.vault)
        else:
            serials = [_serial(path) for path in self._identities()]
            self._write_serials(SUPERSEDED, [*self._serials(SUPERSEDED), *serials])
        self.write_trust()

    def reissue(self) -> int:
        """Give everybody who has an identity a new one, which holds from its next connection on. Returns how many."""
        issuer, paths = self.authority, self._identities()
        for path in paths:
            write_file(path, issuer.issue(path.stem), give=self._give.device)
        return len(paths)

    def finish(self) -> None:
        """Trust nobody any more that has not what the last rotation gave it. The broker has to be told."""
        vault = self.places.vault
        self._write_serials(REFUSED, [*self._serials(REFUSED), *self._serials(SUPERSEDED)])
        (vault / SUPERSEDED).unlink(missing_ok=True)
        (vault / RETIRING).unlink(missing_ok=True)
        self.write_trust()

    def revoke(self, station: str) -> None:
        """Take a device's identity away. The broker has to be told.

        :raises OSError: it has none.
        :raises UserError: its file holds something else.
        """
        path = self.places.devices / f"{station}.pem"
        self._write_serials(REFUSED, [*self._serials(REFUSED), _serial(path)])
        path.unlink()
        self.write_trust()

    def _identities(self) -> list[Path]:
        return sorted([*self.places.devices.glob("*.pem"), *self.places.head_end.glob("*.pem")])

    def _serials(self, name: str) -> list[int]:
        path = self.places.vault / name
        return [int(line, 16) for line in path.read_text().split()] if path.exists() else []

    def _write_serials(self, name: str, serials: Iterable[int]) -> None:
        write_file(
            self.places.vault / name, "".join(f"{serial:x}\n" for serial in serials).encode(), give=self._give.vault
        )


def _serial(path: Path) -> int:
    try:
        return serial_of(path.read_bytes())
    except ValueError as error:
        raise UserError(
            f"{path} holds no certificate", "Remove it: a run issues the identities that it needs."
        ) from error
