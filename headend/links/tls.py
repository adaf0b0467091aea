"""The head-end's end of TLS: asyncio has streams for it, but the intake reads its socket by itself."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: authenticated encryption and a fresh key (RFC 9325). TLS 1.3 has nothing else."""


def context_of(ca: Path, certificate: Path | None) -> ssl.SSLContext:
    """What we trust, and who we are. Raises OSError: a file cannot be read, or is not PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.load_verify_locations(ca)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


async def secured(sock: socket.socket, ca: Path, certificate: Path | None, server_name: str) -> ssl.SSLSocket:
    """A connected, non-blocking socket after its handshake; on an exception it is closed.

    The files are read at each connection, so rotated ones need no restart. Raises OSError.
    """
    loop = asyncio.get_running_loop()
    try:
        secure = context_of(ca, certificate).wrap_socket(
            sock, server_hostname=server_name, do_handshake_on_connect=False
        )
    except BaseException:
        sock.close()
        raise
    try:
        while True:
            try:
                secure.do_handshake()
            except ssl.SSLWantReadError:
                await _until(loop.add_reader, loop.remove_reader, secure)
            except ssl.SSLWantWriteError:
                await _until(loop.add_writer, loop.remove_writer, secure)
            else:
                return secure
    except BaseException:
        secure.close()
        raise


async def _until(
    add: Callable[[ssl.SSLSocket, Callable[[], None]], None],
    remove: Callable[[ssl.SSLSocket], bool],
    sock: ssl.SSLSocket,
) -> None:
    ready = asyncio.Event()
    add(sock, ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock)
