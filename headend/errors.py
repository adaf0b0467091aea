"""What can go wrong around the head-end. Every message says what to do about it."""

from collections.abc import Sequence

from pydantic import ValidationError


class HeadEndError(Exception):
    """A fault of the surroundings (configuration, broker, database), to be shown without a traceback."""


class ShipmentError(HeadEndError):
    """The shipment file is unusable; the message lists every fault with its line."""


class DriverError(HeadEndError):
    """A vendor's driver is missing or unusable; the message lists every fault."""


class NetworkModelError(HeadEndError):
    """The network model is unusable; the message lists every fault."""


class CommandKeyError(HeadEndError):
    """The file with the Ed25519 private key is missing or is not such a key."""


class CommandError(HeadEndError):
    """What is asked for is no command; the message lists every fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = list(faults)


class MetricsPortError(HeadEndError):
    """The port for the metrics cannot be had."""


class BrokerError(HeadEndError):
    """Anything about the broker."""


class BrokerUnavailable(BrokerError):  # noqa: N818 - names the state, as in "broker unavailable"
    """Nobody answers at the broker's address."""


class BrokerRefused(BrokerError):  # noqa: N818 - names the answer of CONNACK or SUBACK
    """The broker answers, but not us: wrong user name, wrong password, or no right to the filter."""


class DatabaseError(HeadEndError):
    """Anything about the database."""


class DatabaseUnavailable(DatabaseError):  # noqa: N818 - names the state, as in "database unavailable"
    """Nobody answers at the database's address."""


class DatabaseRefused(DatabaseError):  # noqa: N818 - names the answer of the server
    """The database server answers, but not us: wrong role, wrong password, no such database, no right."""


class SchemaTooNew(DatabaseError):  # noqa: N818 - names the state of the schema
    """The database was migrated by a newer release than this one."""


class SchemaTooOld(DatabaseError):  # noqa: N818 - names the state of the schema
    """The database lacks migrations of this release."""


class SchemaMissing(DatabaseError):  # noqa: N818 - names the state of the schema
    """The database has no schema of a head-end by this name."""


def faults_of(error: ValidationError) -> list[str]:
    """What is wrong with a file, each fault behind the key that it concerns."""
    return [
        f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors()
    ]
