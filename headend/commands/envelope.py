"""The signed command envelope (docs/command-envelope.md): JWS compact serialisation, Ed25519 (RFC 7515, RFC 8037).

Signed for devices, and checked for those whose wire cannot carry it.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from headend.errors import CommandKeyError

#: A command that is to act at once is valid from so long before it was issued: the device's clock may be slow.
CLOCK_LEEWAY_S = 300
#: Refusals that say nothing of what we sent: anybody can have made such an envelope, or sent ours again. A device names
#: the command that it reads there, also where no signature vouches for it.
FROM_ANYBODY = frozenset(("malformed", "unknown_key", "bad_signature", "replayed"))


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class CommandSigner:
    """Signs commands with the head-end's private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        #: RFC 7638, of the public key as a JWK of RFC 8037.
        self.key_id = _base64url(
            hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{self.public_key()}"}}'.encode()).digest()
        ).decode("ascii")
        self._header = _base64url(f'{{"alg":"EdDSA","kid":"{self.key_id}","typ":"amilab-command+jws"}}'.encode())

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

    def verifier(self) -> "CommandVerifier":
        """Checks what we have signed, where nobody else can."""
        return CommandVerifier(self._key.public_key(), self._header)

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
        not_before_s: int,
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
            "nbf": not_before_s,
            "exp": expires_s,
            "ctr": counter,
            "params": dict(params),
        }
        body = json.dumps(claims, separators=(",", ":")).encode()
        signing_input = self._header + b"." + _base64url(body)
        return signing_input + b"." + _base64url(self._key.sign(signing_input))


class CommandVerifier:
    """The last verifier of commands to devices that cannot check them, in their stead."""

    def __init__(self, public_key: Ed25519PublicKey, header: bytes) -> None:
        """`header`: the one that it takes, in base64url."""
        self._public_key = public_key
        self._header = header
        self._counters: dict[str, int] = {}

    def claims_of(self, envelope: bytes, *, serial: str, now_s: float) -> Mapping[str, Any] | str:
        """What a command says that this device is to do now, or why it does not, in the document's word."""
        header, body, signature = ([*envelope.split(b"."), b"", b""])[:3]
        if header != self._header:
            return "unknown_key"
        try:
            self._public_key.verify(_decoded(signature), header + b"." + body)
        except (InvalidSignature, ValueError):
            return "bad_signature"
        claims: dict[str, Any] = json.loads(_decoded(body))
        for refused, reason in (
            (claims["sub"] != serial, "wrong_device"),
            (claims["exp"] <= now_s, "expired"),
            (claims["nbf"] > now_s, "not_yet_valid"),
            (claims["ctr"] <= self._counters.get(serial, 0), "replayed"),
        ):
            if refused:
                return reason
        self._counters[serial] = claims["ctr"]
        return claims


def _decoded(part: bytes) -> bytes:
    """Raises ValueError."""
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
