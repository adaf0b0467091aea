"""Users of the embedded broker and the configuration of the two brokers that can serve them. Pure text; no I/O."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_PACKET_BYTES = 256 * 1024
MAX_INFLIGHT = 20_000  # ample: more than the head-end takes in one batch
_PASSWORD_ITERATIONS = 1
_SALT_BYTES = 12
_AUTOSAVE_CHANGES = 100


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """Somebody who may connect, and the topic filters that he may publish to and read from."""

    username: str
    password: str
    may_publish: tuple[str, ...]
    may_read: tuple[str, ...]


def device_user(group: str, serial: str, username: str, password: str) -> BrokerUser:
    """A meter touches its own topics only (docs/wire-rl-dsp.md)."""
    return BrokerUser(username, password, (f"dt/{group}/{serial}/#",), (f"cmd/{group}/{serial}",))


def head_end_client(group: str) -> str:
    """The head-end's client id, by which it is also known as a Sparkplug host application."""
    return f"{group}-headend"


def collector_user(group: str, edge_node: str, username: str, password: str) -> BrokerUser:
    """A collector speaks for itself and its meters, and hears its commands and its host (docs/wire-sparkplug.md)."""
    root = f"spBv1.0/{group}"
    own = [f"{root}/{kind}/{edge_node}" for kind in ("NBIRTH", "NDATA", "NDEATH")]
    own += [f"{root}/{kind}/{edge_node}/+" for kind in ("DBIRTH", "DDATA", "DDEATH")]
    heard = (f"{root}/NCMD/{edge_node}", f"{root}/DCMD/{edge_node}/+", _state(group))
    return BrokerUser(username, password, tuple(own), heard)


def head_end_user(group: str, username: str, password: str) -> BrokerUser:
    """The head-end reads what the group's meters say, commands them, and publishes fences to itself."""
    state = _state(group)
    return BrokerUser(
        username,
        password,
        (f"cmd/{group}/#", f"dt/{group}/_fence/#", f"spBv1.0/{group}/NCMD/+", f"spBv1.0/{group}/DCMD/+/+", state),
        (f"dt/{group}/#", f"spBv1.0/{group}/#", state),
    )


def _state(group: str) -> str:
    return f"spBv1.0/STATE/{head_end_client(group)}"


def mosquitto_configuration(port: int, directory: Path, *, clients: int) -> str:
    """mosquitto.conf(5). `directory` holds the files `passwords` and `acl`, and takes the persistent state.

    No message is dropped for want of a place in a queue (`max_queued_messages 0`, `max_inflight_messages` far above a
    batch): what bounds the queues is that each meter waits for its acknowledgements. The state is saved 100 changes
    behind: at every change, intake with an absent subscriber falls from ten thousands to hundreds of messages a second,
    and meters keep what they have sent anyway. Each save writes the sessions of all `clients`, so where they are many
    it is an eighth of their number behind: 11,500 sessions every 100 changes took 0.15 ms of each message.
    """
    return f"""\
listener {port} 127.0.0.1
allow_anonymous false
password_file {directory}/passwords
acl_file {directory}/acl
persistence true
persistence_location {directory}/
autosave_on_changes true
autosave_interval {max(_AUTOSAVE_CHANGES, clients // 8)}
max_queued_messages 0
max_inflight_messages {MAX_INFLIGHT}
max_packet_size {MAX_PACKET_BYTES}
set_tcp_nodelay true
sys_interval 0
connection_messages false
log_dest stderr
log_type error
log_type warning
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""


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
    """An access list of mosquitto: whatever is not listed is refused."""
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
