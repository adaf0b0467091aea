"""The signed command envelope (docs/command-envelope.md): JWS compact serialisation, Ed25519 (RFC 7515, RFC 8037)."""

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from headend.errors import CommandKeyError

_HEADER = b'{"alg":"EdDSA","typ":"amilab-command+jws"}'


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class CommandSigner:
    """Signs commands with the head-end's private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> "CommandSigner":
        """Read a key of 32 raw bytes, or the same in base64url. Raises CommandKeyError."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CommandKeyError(f"cannot read the command key {path}: {error.strerror}") from error
        if len(data) != 32:
            text = data.strip()
            try:
                data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
            except (binascii.Error, ValueError):
                data = b""
        if len(data) != 32:
            raise CommandKeyError(
                f"{path} is not an Ed25519 private key: it must hold 32 raw bytes, or these in base64url"
            )
        return cls(Ed25519PrivateKey.from_private_bytes(data))

    def public_key(self) -> str:
        """The public key as the shipment file carries it: base64url without padding."""
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return _base64url(raw).decode("ascii")

    def sign(
        self,
        *,
        command_id: str,
        serial: str,
        purpose: str,
        issued_s: int,
        expires_s: int,
        counter: int,
        params: Mapping[str, object],
    ) -> bytes:
        """The envelope, ready to be published. The caller has made `counter` durable before."""
        claims = {
            "jti": command_id,
            "sub": serial,
            "purpose": purpose,
            "iat": issued_s,
            "exp": expires_s,
            "ctr": counter,
            "params": dict(params),
        }
        body = json.dumps(claims, separators=(",", ":")).encode()
        signing_input = _base64url(_HEADER) + b"." + _base64url(body)
        return signing_input + b"." + _base64url(self._key.sign(signing_input))
