"""Whom the lab's broker lets in, and the configuration of the two that can serve. Pure text; no I/O. docs/broker.md.

Mosquitto knows everybody by certificate. By passwords it knows them where somebody else's head-end is judged, which
need not have TLS; rumqttd knows passwords only.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.keys.keyring import AUTHORITIES, REVOKED, SERVER
from lab.keys.pki import CIPHERS

MAX_PACKET_BYTES = 32 * 1024
"""A part of a load profile is at most 16,000 bytes (docs/wire-rl-dsp.md), a collector's message some 4,000."""
MAX_INFLIGHT = 20_000  # ample: more than the head-end takes in one batch
MOST_SUBSCRIPTIONS = 16
"""Of a device at once: a collector has three."""
_PASSWORD_ITERATIONS = 1
_SALT_BYTES = 12
_AUTOSAVE_CHANGES = 100
_SPARE_CONNECTIONS = 200
"""For the head-end, and for connections that the broker has not yet seen end."""

ACL, PASSWORDS = "acl", "passwords"
"""Files beside mosquitto's configuration."""
LAB = "lab"
"""The first level of the lab's own topics, of which vendors know nothing (docs/broker.md)."""
HEAD_END = "headend"
HEAD_END_HOST = "headend-sparkplug"
"""Identities of the head-end's connections."""


def ingest_identity(number: int) -> str:
    """The identity of an ingest worker."""
    return f"headend-ingest-{number}"


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """Somebody who may connect, and the topic filters that it may publish to and read from."""

    username: str
    password: str
    may_publish: tuple[str, ...]
    may_read: tuple[str, ...]


def device_user(group: str, serial: str, username: str, password: str) -> BrokerUser:
    """A meter touches its own topics only (docs/wire-rl-dsp.md), and hears the lab's fences behind its commands."""
    heard = (f"cmd/{group}/{serial}", f"{LAB}/{group}/{serial}")
    return BrokerUser(username, password, (f"dt/{group}/{serial}/#",), heard)


def head_end_client(group: str) -> str:
    """The head-end's client id, by which it is also known as a Sparkplug host application."""
    return f"{group}-headend"


def collector_user(group: str, edge_node: str, username: str, password: str) -> BrokerUser:
    """A collector speaks for itself and its meters, and hears its commands and its host (docs/wire-sparkplug.md)."""
    root = f"spBv1.0/{group}"
    own = [f"{root}/{kind}/{edge_node}" for kind in ("NBIRTH", "NDATA", "NDEATH")]
    own += [f"{root}/{kind}/{edge_node}/+" for kind in ("DBIRTH", "DDATA", "DDEATH")]
    heard = tuple(
        f"{top}/{group}/{kind}" for top in ("spBv1.0", LAB) for kind in (f"NCMD/{edge_node}", f"DCMD/{edge_node}/+")
    )
    heard += (_state(group),)
    return BrokerUser(username, password, tuple(own), heard)


def head_end_user(group: str, username: str, password: str) -> BrokerUser:
    """The head-end reads what the group's meters say, commands them, and fences itself and what it commanded."""
    state = _state(group)
    return BrokerUser(
        username,
        password,
        (
            f"cmd/{group}/#",
            f"{LAB}/{group}/#",
            f"dt/{group}/_fence/#",
            f"spBv1.0/{group}/NCMD/+",
            f"spBv1.0/{group}/DCMD/+/+",
            state,
        ),
        (f"dt/{group}/#", f"spBv1.0/{group}/#", state),
    )


def _state(group: str) -> str:
    return f"spBv1.0/STATE/{head_end_client(group)}"


@dataclass(frozen=True, slots=True)
class MosquittoPlaces:
    """Where mosquitto listens, where it finds its files, and where it keeps its state."""

    port: int
    address: str
    configuration: str
    data: str
    log: str = "stderr"

    @classmethod
    def below(cls, directory: Path, port: int) -> MosquittoPlaces:
        """Everything in one directory, on loopback."""
        return cls(port, "127.0.0.1", str(directory), str(directory))


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a device may publish (and subscribe to): per second on average, and at once after it was silent."""

    messages_per_s: int
    burst_messages: int
    bytes_per_s: int
    burst_bytes: int


REAL_TIME = RateLimit(20, 10_000, 100_000, 40_000_000)
"""A collector of 200 meters may tell a week at once: 6 messages of 4,000 bytes for each meter, and its births."""
COMPRESSED_TIME = RateLimit(2_000, 50_000, 8_000_000, 200_000_000)
"""Where a day passes in 30 s, a collector sends up to 400 messages and 1 MB in a second of the broker's."""


@dataclass(frozen=True, slots=True)
class AddressLimit:
    """What comes from one source address: connections at once, attempts at them, and those that fail.

    `unknown`: of the connections, those whose client has not asked for anything yet. A connection fails that ends
    before its client is known by a certificate.
    """

    connections: int
    unknown: int
    attempts_per_s: float
    burst_attempts: int
    failures_per_s: float
    burst_failures: int


CONTAINERS = AddressLimit(20_000, 10_000, 500, 20_000, 10, 2_000)
"""A fleet's container has up to 10,000 meters, a load generator 20,000; many may lose the broker during a handshake."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The plugin lab/services/broker_guard.c: where it is, and what it allows.

    Without `address` nothing is limited by address. With it the broker is started with `LD_PRELOAD=<library>`.
    """

    library: str
    rate: RateLimit
    address: AddressLimit | None = None


def mosquitto_configuration(
    places: MosquittoPlaces, *, clients: int, passwords: bool = False, guard: Guard | None = None
) -> str:
    """mosquitto.conf(5): TLS 1.2 or newer, certificates on both ends, one client per certificate, nobody else.

    Who a client is, its certificate says: the common name is its user name *and* its client id, so nobody takes over
    another's session. No message is dropped for want of a place in a queue (`max_queued_messages 0`,
    `max_inflight_messages` far above a batch): what bounds the queues is that each meter waits for its
    acknowledgements, and the guard. QoS 2, whose messages would be kept for their sender, is refused. The state is
    saved 100 changes behind: at every change, intake with an absent subscriber falls from ten thousands to hundreds of
    messages a second, and meters keep what they have sent anyway. Each save writes the sessions of all `clients`, so
    where they are many it is an eighth of their number behind: 11,500 sessions every 100 changes took 0.15 ms of each
    message.

    :param passwords: without TLS, by user names and passwords.
    :param guard: not with passwords.
    """
    files = places.configuration
    known_by = f"password_file {files}/{PASSWORDS}" if passwords else _CERTIFICATES.format(files=files)
    return f"""\
listener {places.port} {places.address}
max_connections {clients + _SPARE_CONNECTIONS}
{known_by}
allow_anonymous false
acl_file {files}/{ACL}
{_guard_lines(guard, files)}max_packet_size {MAX_PACKET_BYTES}
max_inflight_messages {MAX_INFLIGHT}
max_queued_messages 0
persistence true
persistence_location {places.data}/
autosave_on_changes true
autosave_interval {max(_AUTOSAVE_CHANGES, clients // 8)}
set_tcp_nodelay true
sys_interval 0
connection_messages {"false" if passwords else "true"}
log_dest {places.log}
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""


# With `crlfile` mosquitto makes its TLS anew at SIGHUP, authorities included; without, it would keep those.
_CERTIFICATES = f"""\
cafile {{files}}/{AUTHORITIES}
crlfile {{files}}/{REVOKED}
certfile {{files}}/{SERVER}
keyfile {{files}}/{SERVER}
tls_version tlsv1.2
ciphers {CIPHERS}
require_certificate true
use_identity_as_username true
use_username_as_clientid true
max_qos 1"""


def _guard_lines(guard: Guard | None, files: str) -> str:
    if guard is None:
        return ""
    options = {"acl_file": f"{files}/{ACL}", "packet_bytes": MAX_PACKET_BYTES, "subscriptions": MOST_SUBSCRIPTIONS}
    options |= asdict(guard.rate)
    if guard.address is not None:
        options |= {f"address_{name}": value for name, value in asdict(guard.address).items()}
    return f"plugin {guard.library}\n" + "".join(f"plugin_opt_{name} {value}\n" for name, value in options.items())


def mosquitto_patterns(head_ends: Iterable[str]) -> str:
    """An access list by patterns, the same for every fleet: `%u` is the name in the client's certificate.

    Whatever is not listed is refused. docs/wire-rl-dsp.md and docs/wire-sparkplug.md have the topics.

    :param head_ends: the identities of the head-end's connections.
    """
    # By one filter for commands and the lab's fences behind them: the topics begin with `cmd`, `spBv1.0`, or `lab`.
    patterns = ["write dt/+/%u/#", "read +/+/%u", "read +/+/NCMD/%u", "read +/+/DCMD/%u/+"]
    patterns += [f"write spBv1.0/+/{kind}/%u" for kind in ("NBIRTH", "NDATA", "NDEATH")]
    patterns += [f"write spBv1.0/+/{kind}/%u/+" for kind in ("DBIRTH", "DDATA", "DDEATH")]
    patterns += ["read spBv1.0/STATE/+"]
    lines = [f"pattern {pattern}" for pattern in patterns]
    for name in head_ends:
        lines += [f"user {_line_safe(name)}", *(f"topic {rule}" for rule in _HEAD_END)]
    return "\n".join(lines) + "\n"


_HEAD_END = (
    "read dt/#",
    "read spBv1.0/#",
    "write cmd/#",
    "write lab/#",
    "write dt/+/_fence/#",
    "write spBv1.0/+/NCMD/+",
    "write spBv1.0/+/DCMD/+/+",
    "write spBv1.0/STATE/+",
)


def mosquitto_passwords(users: Iterable[BrokerUser]) -> str:
    """A password file of mosquitto 2: `user:$7$iterations$salt$hash`, PBKDF2 with SHA-512.

    One iteration: these passwords are random and live as long as the run, so there is nothing to stretch; and the
    broker repeats the work at each of thousands of connects.
    """
    lines = []
    for user in users:
        salt = os.urandom(_SALT_BYTES)
        digest = hashlib.pbkdf2_hmac("sha512", user.password.encode(), salt, _PASSWORD_ITERATIONS)
        encoded = "$".join(base64.b64encode(part).decode() for part in (salt, digest))
        lines.append(f"{_line_safe(user.username)}:$7${_PASSWORD_ITERATIONS}${encoded}\n")
    return "".join(lines)


def mosquitto_acl(users: Iterable[BrokerUser]) -> str:
    """An access list for users by name: whatever is not listed is refused."""
    lines = []
    for user in users:
        lines.append(f"user {_line_safe(user.username)}")
        lines += [f"topic write {_line_safe(topic)}" for topic in user.may_publish]
        lines += [f"topic read {_line_safe(topic)}" for topic in user.may_read]
    return "\n".join(lines) + "\n"


def rumqttd_configuration(port: int, users: Sequence[BrokerUser]) -> str:
    """rumqttd.toml (rumqttd 0.20, the broker inside iotcore 0.4) with one MQTT 3.1.1 listener.

    It knows passwords but no access lists: `may_publish` and `may_read` have no counterpart. Each filter's log takes up
    to 10 × 10 MiB of memory and then forgets its oldest part; outgoing messages in flight are fixed at 100 in its code.
    """
    passwords = "\n".join(f"{_toml_string(user.username)} = {_toml_string(user.password)}" for user in users)
    return f"""\
id = 0
[router]
id = 0
max_connections = {len(users) + 100}
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10
[v4.1]
name = "mqtt"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 0
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = {MAX_PACKET_BYTES}
max_inflight_count = 100
dynamic_filters = true
[v4.1.connections.auth]
{passwords}
"""


def _line_safe(text: str) -> str:
    if any(character in text for character in "\r\n\0"):
        raise ValueError(f"{text!r} does not fit on one line of the broker's configuration")
    return text


def _toml_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
