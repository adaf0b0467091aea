"""Verification of the command envelope: docs/command-envelope.md, the device's side. Pure.

The envelope is a JWS in compact serialisation (RFC 7515) with an Ed25519 signature (RFC 8037).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LOAD_PROFILE_READ = "load_profile.read"
CLOCK_SKEW_LIMIT_S = 300
ENVELOPE_LIMIT_BYTES = 8_192
"""amilab's own: no purpose needs more, and a meter does not parse megabytes."""

_HEADER = b'{"alg":"EdDSA","typ":"amilab-command+jws"}'
_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_CLAIMS: Mapping[str, type] = {
    "jti": str, "sub": str, "purpose": str, "iat": int, "exp": int, "ctr": int, "params": dict,
}  # fmt: skip
_COUNTER_LIMIT = 2**63 - 1


class Refusal(StrEnum):
    """Why a device does not act, in the order in which it looks."""

    MALFORMED = "malformed"
    BAD_SIGNATURE = "bad_signature"
    WRONG_DEVICE = "wrong_device"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    REPLAYED = "replayed"
    UNKNOWN_PURPOSE = "unknown_purpose"
    BAD_PARAMETERS = "bad_parameters"


@dataclass(frozen=True, slots=True)
class LoadProfileRead:
    """An accepted `load_profile.read`: intervals that start in [from_s, to_s)."""

    command_id: str
    counter: int
    from_s: int
    to_s: int


@dataclass(frozen=True, slots=True)
class Refused:
    """`command_id` is None where the envelope does not even say that."""

    reason: Refusal
    command_id: str | None


def fence_token(message: bytes) -> str | None:
    """The token if the message is a fence, `{"fence": "<token>"}`, and not a command; else None."""
    if not message.lstrip().startswith(b"{"):
        return None
    try:
        value = orjson.loads(message)
    except orjson.JSONDecodeError:
        return None
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get("fence"), str):
        return str(value["fence"])
    return None


def verify(
    envelope: bytes,
    *,
    serial: str,
    public_key: Ed25519PublicKey,
    clock_s: float,
    last_counter: int,
    interval_length_s: int,
) -> LoadProfileRead | Refused:
    """What the device `serial` does with an envelope when its clock says `clock_s`.

    `last_counter` is that of the last command it accepted. Checks in the order of docs/command-envelope.md.
    """
    parsed = _parse(envelope)
    if parsed is None:
        return Refused(Refusal.MALFORMED, None)
    claims, signed, signature = parsed
    command_id = claims["jti"]
    try:
        public_key.verify(signature, signed)
    except InvalidSignature:
        return Refused(Refusal.BAD_SIGNATURE, command_id)
    for refused, reason in (
        (claims["sub"] != serial, Refusal.WRONG_DEVICE),
        (claims["exp"] <= clock_s, Refusal.EXPIRED),
        (claims["iat"] > clock_s + CLOCK_SKEW_LIMIT_S, Refusal.NOT_YET_VALID),
        (claims["ctr"] <= last_counter, Refusal.REPLAYED),
        (claims["purpose"] != LOAD_PROFILE_READ, Refusal.UNKNOWN_PURPOSE),
    ):
        if refused:
            return Refused(reason, command_id)
    params = claims["params"]
    if set(params) != {"from", "to"} or not all(_is_a(int, params[name]) for name in params):
        return Refused(Refusal.BAD_PARAMETERS, command_id)
    from_s, to_s = params["from"], params["to"]
    if from_s % interval_length_s or to_s % interval_length_s or not 0 <= from_s < to_s:
        return Refused(Refusal.BAD_PARAMETERS, command_id)
    return LoadProfileRead(command_id, claims["ctr"], from_s, to_s)


def _parse(envelope: bytes) -> tuple[dict[str, Any], bytes, bytes] | None:
    match = _COMPACT.fullmatch(envelope) if len(envelope) <= ENVELOPE_LIMIT_BYTES else None
    if match is None:
        return None
    try:
        header, payload, signature = (_decode_base64url(part) for part in match.groups())
        claims = orjson.loads(payload)
    except (binascii.Error, orjson.JSONDecodeError):
        return None
    if header != _HEADER or not isinstance(claims, dict) or set(claims) != set(_CLAIMS):
        return None
    if not all(_is_a(kind, claims[name]) for name, kind in _CLAIMS.items()) or not 1 <= claims["ctr"] <= _COUNTER_LIMIT:
        return None
    try:
        UUID(claims["jti"])
    except ValueError:
        return None
    return claims, envelope.rpartition(b".")[0], signature


def _decode_base64url(part: bytes) -> bytes:
    decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    # The last character may have bits that carry nothing: one envelope shall have one spelling.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part:
        raise binascii.Error("not canonical")
    return decoded


def _is_a(kind: type, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
