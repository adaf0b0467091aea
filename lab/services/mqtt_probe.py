"""One MQTT 3.1.1 CONNECT, to learn whether a broker serves and whom it lets in.

The packets are built here and not by a client library, since the answers that matter (refused, silent, not MQTT at all)
are the ones that a client library hides behind reconnects. Source: MQTT 3.1.1 (OASIS 2014), sections 3.1, 3.2, 3.14.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import struct
from enum import Enum
from pathlib import Path

from cryptography import x509

from lab.keys.pki import CIPHERS

_DISCONNECT = b"\xe0\x00"
_KEEP_ALIVE_S = 10
_SHOWN_WITHIN_S = 30.0
_ASK_AGAIN_S = 0.05


class ConnectAnswer(Enum):
    """What came back on a connection that was accepted; the values are the CONNACK return codes."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL = 1
    IDENTIFIER_REJECTED = 2
    UNAVAILABLE = 3
    BAD_CREDENTIALS = 4
    NOT_AUTHORISED = 5
    CLOSED = -1  # without an answer; rumqttd refuses credentials so
    SILENT = -2
    NOT_MQTT = -3


def connect_packet(client_id: str, username: str | None, password: str | None) -> bytes:
    """A CONNECT with a clean session. A password needs a user name (3.1.2.9)."""
    flags = 0x02 | (0x80 if username is not None else 0) | (0x40 if password is not None else 0)
    body = _text("MQTT") + struct.pack(">BBH", 4, flags, _KEEP_ALIVE_S) + _text(client_id)
    for field in (username, password):
        if field is not None:
            body += _text(field)
    length = bytearray()
    rest = len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length.append(digit | (0x80 if rest else 0))
        if not rest:
            return b"\x10" + bytes(length) + body


def parse_connack(packet: bytes) -> ConnectAnswer:
    """The meaning of the four bytes after a CONNECT; fewer mean that the peer closed the connection."""
    if not packet:
        return ConnectAnswer.CLOSED
    if len(packet) != 4 or packet[:2] != b"\x20\x02" or packet[3] > ConnectAnswer.NOT_AUTHORISED.value:
        return ConnectAnswer.NOT_MQTT
    return ConnectAnswer(packet[3])


async def probe(
    host: str,
    port: int,
    username: str | None,
    password: str | None,
    timeout_s: float,
    *,
    tls: tuple[Path, Path] | None = None,
) -> ConnectAnswer:
    """Connect, say CONNECT, read the answer, leave. Raises OSError if there is no TCP connection, TimeoutError too.

    :param tls: the trusted authorities, and our own key and certificate, each in PEM.
    """
    context = None
    if tls is not None:
        context = _context(*tls)
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write(connect_packet(f"amilab-probe-{secrets.token_hex(6)}", username, password))
        try:
            async with asyncio.timeout(timeout_s):
                answer = parse_connack(await reader.readexactly(4))
        except TimeoutError:
            return ConnectAnswer.SILENT
        except asyncio.IncompleteReadError as error:
            return parse_connack(error.partial)
        except ConnectionError:
            return ConnectAnswer.CLOSED
        if answer is ConnectAnswer.ACCEPTED:
            writer.write(_DISCONNECT)
        return answer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until_shown(serial: int, host: str, port: int, tls: tuple[Path, Path]) -> None:
    """Return when the server there shows the certificate of this serial number.

    Raises OSError, TimeoutError if it does not within half a minute.

    :param tls: as for `probe`.
    """
    context = _context(*tls)
    async with asyncio.timeout(_SHOWN_WITHIN_S):
        while True:
            # What it has shown before need not have been anybody's whom we trust.
            with contextlib.suppress(ssl.SSLCertVerificationError):
                _, writer = await asyncio.open_connection(host, port, ssl=context)
                shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
                writer.close()
                if x509.load_der_x509_certificate(shown).serial_number == serial:
                    return
            # Nothing tells of it.
            await asyncio.sleep(_ASK_AGAIN_S)


def _context(authorities: Path, identity: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authorities)
    context.set_ciphers(CIPHERS)
    context.load_cert_chain(identity)
    return context


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack(">H", len(encoded)) + encoded
