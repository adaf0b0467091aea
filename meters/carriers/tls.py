"""A device's end of TLS: its own identity, and the authority that it trusts (docs/broker.md)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: authenticated encryption and a fresh key (RFC 9325). TLS 1.3 has nothing else."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """`ca`: certificates of authorities in PEM. `identities`: a directory with `<station>.pem`, key and certificate."""

    ca: Path
    identities: Path


async def secured(
    sock: socket.socket, files: TlsFiles, station: str, server_name: str, loop: asyncio.AbstractEventLoop
) -> ssl.SSLSocket:
    """The connected, non-blocking socket with a finished handshake; `sock` is used up, also by an exception.

    The files are read at each connection: what was rotated meanwhile holds from then on.

    Raises OSError: the files cannot be read, or one of the two ends does not trust the other.
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.load_verify_locations(files.ca)
        context.load_cert_chain(files.identities / f"{station}.pem")
        secure = context.wrap_socket(sock, server_hostname=server_name, do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    try:
        while True:
            try:
                secure.do_handshake()
            except ssl.SSLWantReadError:
                await _ready(loop.add_reader, loop.remove_reader, secure)
            except ssl.SSLWantWriteError:
                await _ready(loop.add_writer, loop.remove_writer, secure)
            else:
                return secure
    except BaseException:
        secure.close()
        raise


async def _ready(add: Any, remove: Any, sock: ssl.SSLSocket) -> None:
    ready = asyncio.Event()
    add(sock, ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock)
