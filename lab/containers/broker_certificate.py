"""Whether the project's broker and its clients trust each other, asked before thousands of meters find out."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from lab.errors import UserError

_PATIENCE_S = 5.0


def check_broker_certificate(port: int, *, ca: Path, identity: Path, host: str = "localhost") -> None:
    """Shake hands with the broker on loopback as the head-end would; blocking.

    :raises UserError: it does not trust us, or we do not trust it, with what to do.
    """
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(identity)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            # In TLS 1.3 the server judges our certificate after the handshake: its alert comes with the first read.
            secured.settimeout(0.2)
            secured.recv(1)
    except TimeoutError:
        return
    except ssl.SSLCertVerificationError as error:
        raise UserError(
            f"the broker's certificate is not right: {error.verify_message}",
            "Renew it and start the broker again: amilab compose init --force; docker compose restart broker.",
        ) from error
    except ssl.SSLError as error:
        raise UserError(
            f"the broker refuses the head-end's certificate: {error.reason or error}",
            "It trusts another authority than secrets/ca.key: amilab compose init --force; docker compose restart "
            "broker.",
        ) from error
    except OSError as error:
        raise UserError(
            f"the broker does not answer on 127.0.0.1:{port}: {error.strerror or error}",
            "docker compose logs broker says why.",
        ) from error
