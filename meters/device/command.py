"""Verification of the command envelope: docs/command-envelope.md, the device's side. Pure.

The envelope is a JWS in compact serialisation (RFC 7515) with an Ed25519 signature (RFC 8037). What a command asks for
is not looked at here (meters/device/purposes.py).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

CLOCK_SKEW_LIMIT_S = 300
ENVELOPE_LIMIT_BYTES = 8_192
"""amilab's own: no purpose needs more, and a meter does not parse megabytes."""

_HEADER = re.compile(rb'\{"alg":"EdDSA","kid":"([A-Za-z0-9_-]{1,64})","typ":"amilab-command\+jws"\}')
_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_CLAIMS: Mapping[str, type] = {
    "jti": str, "sub": str, "purpose": str, "iat": int, "nbf": int, "exp": int, "ctr": int, "params": dict,
}  # fmt: skip
_COUNTER_LIMIT = 2**63 - 1


class Refusal(StrEnum):
    """Why a device does not act, in the order in which it looks."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    WRONG_DEVICE = "wrong_device"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    REPLAYED = "replayed"
    ID_REUSED = "id_reused"
    UNKNOWN_PURPOSE = "unknown_purpose"
    NOT_SUPPORTED = "not_supported"
    BAD_PARAMETERS = "bad_parameters"


@dataclass(frozen=True, slots=True)
class Command:
    """A command whose envelope is good, and which is newer than the last one."""

    command_id: str
    counter: int
    purpose: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """`command_id` is None where the envelope does not even say that."""

    reason: Refusal
    command_id: str | None


def key_id(public_key: Ed25519PublicKey) -> str:
    """The thumbprint (RFC 7638) of a public key as a JWK of RFC 8037."""
    x = base64.urlsafe_b64encode(public_key.public_bytes_raw()).rstrip(b"=")
    digest = hashlib.sha256(b'{"crv":"Ed25519","kty":"OKP","x":"' + x + b'"}').digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def verify(
    envelope: bytes,
    *,
    serial: str,
    keys: Mapping[str, Ed25519PublicKey],
    clock_s: float,
    last_counter: int,
) -> Command | Refused:
    """What the device `serial` makes of an envelope when its clock says `clock_s`.

    `keys`: those that it trusts, by `key_id`. `last_counter` is that of the last command it took. Checks in the order
    of docs/command-envelope.md, as far as the purpose does not matter.
    """
    parsed = _parse(envelope)
    if parsed is None:
        return Refused(Refusal.MALFORMED, None)
    kid, claims, signed, signature = parsed
    command_id = claims["jti"]
    public_key = keys.get(kid)
    if public_key is None:
        return Refused(Refusal.UNKNOWN_KEY, command_id)
    try:
        public_key.verify(signature, signed)
    except InvalidSignature:
        return Refused(Refusal.BAD_SIGNATURE, command_id)
    ahead = claims["nbf"] > clock_s or claims["iat"] > clock_s + CLOCK_SKEW_LIMIT_S
    for refused, reason in (
        (claims["sub"] != serial, Refusal.WRONG_DEVICE),
        (claims["exp"] <= clock_s, Refusal.EXPIRED),
        (ahead, Refusal.NOT_YET_VALID),
        (claims["ctr"] <= last_counter, Refusal.REPLAYED),
    ):
        if refused:
            return Refused(reason, command_id)
    return Command(command_id, claims["ctr"], claims["purpose"], claims["params"])


def stated(envelope: bytes) -> tuple[str, int] | None:
    """Purpose and counter as an envelope states them, which nobody has verified; None if it is none."""
    parsed = _parse(envelope)
    return None if parsed is None else (parsed[1]["purpose"], parsed[1]["ctr"])


def _parse(envelope: bytes) -> tuple[str, dict[str, Any], bytes, bytes] | None:
    """Key id, claims, what is signed, and the signature; None if it is no envelope."""
    match = _COMPACT.fullmatch(envelope) if len(envelope) <= ENVELOPE_LIMIT_BYTES else None
    if match is None:
        return None
    try:
        header, payload, signature = (_decode_base64url(part) for part in match.groups())
        claims = orjson.loads(payload)
    except (binascii.Error, orjson.JSONDecodeError):
        return None
    named = _HEADER.fullmatch(header)
    if named is None or not isinstance(claims, dict) or set(claims) != set(_CLAIMS):
        return None
    if not all(_is_a(kind, claims[name]) for name, kind in _CLAIMS.items()) or not 1 <= claims["ctr"] <= _COUNTER_LIMIT:
        return None
    try:
        # Of its several spellings the canonical one: two ids must not be one to somebody else.
        if str(UUID(claims["jti"])) != claims["jti"]:
            return None
    except ValueError:
        return None
    return named[1].decode(), claims, envelope.rpartition(b".")[0], signature


def _decode_base64url(part: bytes) -> bytes:
    decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    # The last character may have bits that carry nothing: one envelope shall have one spelling.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part:
        raise binascii.Error("not canonical")
    return decoded


def _is_a(kind: type, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
