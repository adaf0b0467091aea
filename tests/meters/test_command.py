"""The device's side of docs/command-envelope.md."""

from __future__ import annotations

from uuid import uuid4

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from meters.device.command import LoadProfileRead, Refused, fence_token, verify
from tests.meters.meter_yard import HEAD_END_KEY, START_S, base64url, command

STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
ID = str(uuid4())


def look(envelope: bytes, *, last_counter: int = 0, clock_s: float = START_S) -> LoadProfileRead | Refused:
    return verify(
        envelope,
        serial="AMI1",
        public_key=HEAD_END_KEY.public_key(),
        clock_s=clock_s,
        last_counter=last_counter,
        interval_length_s=900,
    )


def signed(payload: object, header: bytes = b'{"alg":"EdDSA","typ":"amilab-command+jws"}') -> bytes:
    text = base64url(header) + b"." + base64url(orjson.dumps(payload))
    return text + b"." + base64url(HEAD_END_KEY.sign(text))


def test_a_good_command_is_accepted() -> None:
    envelope = command("AMI1", jti=ID, counter=5, params={"from": START_S, "to": START_S + 900})
    assert look(envelope, last_counter=4) == LoadProfileRead(ID, 5, START_S, START_S + 900)


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (command("AMI1", jti=ID, key=STRANGER), "bad_signature"),
        (command("AMI2", jti=ID), "wrong_device"),
        (command("AMI1", jti=ID, exp=START_S), "expired"),
        (command("AMI1", jti=ID, iat=START_S + 301), "not_yet_valid"),
        (command("AMI1", jti=ID, counter=4), "replayed"),
        (command("AMI1", jti=ID, counter=5, purpose="relay.open"), "unknown_purpose"),
        *[
            (command("AMI1", jti=ID, counter=5, params=params), "bad_parameters")
            for params in (
                {}, {"from": START_S}, {"from": START_S, "to": START_S}, {"from": START_S + 1, "to": START_S + 900},
                {"from": START_S, "to": START_S + 901}, {"from": START_S + 900, "to": START_S},
                {"from": "0", "to": 900}, {"from": False, "to": 900}, {"from": -900, "to": 900},
                {"from": 0, "to": 900, "unit": "h"},
            )
        ],
    ],
)  # fmt: skip
def test_each_reason_to_refuse(envelope: bytes, reason: str) -> None:
    assert look(envelope, last_counter=4) == Refused(reason, ID)  # type: ignore[arg-type]  # a StrEnum equals its text


def test_the_first_reason_in_the_documents_order_counts() -> None:
    wrong = {"exp": START_S, "iat": START_S + 301, "purpose": "x", "params": {}}
    order = []
    for key, serial, claims in (
        (STRANGER, "AMI2", wrong),
        (HEAD_END_KEY, "AMI2", wrong),
        (HEAD_END_KEY, "AMI1", wrong),
        (HEAD_END_KEY, "AMI1", {**wrong, "exp": START_S + 1}),
        (HEAD_END_KEY, "AMI1", {"purpose": "x", "params": {}}),
        (HEAD_END_KEY, "AMI1", {"purpose": "x", "params": {}, "ctr": 9}),
        (HEAD_END_KEY, "AMI1", {"params": {}, "ctr": 9}),
    ):
        verdict = look(command(serial, key=key, **claims), last_counter=4)
        assert isinstance(verdict, Refused)
        order.append(str(verdict.reason))
    assert order == [
        "bad_signature", "wrong_device", "expired", "not_yet_valid", "replayed", "unknown_purpose", "bad_parameters",
    ]  # fmt: skip


GOOD = {
    "jti": ID, "sub": "AMI1", "purpose": "load_profile.read", "iat": START_S, "exp": START_S + 60, "ctr": 1,
    "params": {"from": START_S, "to": START_S + 900},
}  # fmt: skip


@pytest.mark.parametrize(
    "envelope",
    [
        b"", b"a.b", b"a.b.c", b"a.b.c.d", b"\xff" * 300, b"{}", b'{"fence":1}', b"x" * 100_000,
        signed(GOOD) + b"=", signed(GOOD) + b"\n", signed([1]), signed("x"), signed({}),
        signed(GOOD, b'{"typ":"amilab-command+jws","alg":"EdDSA"}'), signed(GOOD, b'{"alg":"none"}'),
        signed({**GOOD, "more": 1}), signed({**GOOD, "ctr": True}), signed({**GOOD, "ctr": 0}),
        signed({**GOOD, "ctr": 2**63}), signed({**GOOD, "ctr": 1.0}), signed({**GOOD, "iat": "now"}),
        signed({**GOOD, "jti": "1"}), signed({**GOOD, "params": None}),
        signed({name: value for name, value in GOOD.items() if name != "exp"}),
    ],
)  # fmt: skip
def test_malformed(envelope: bytes) -> None:
    assert look(envelope) == Refused("malformed", None)  # type: ignore[arg-type]  # a StrEnum equals its text


@given(st.data())
def test_no_single_changed_byte_is_accepted(data: st.DataObject) -> None:
    envelope = bytearray(signed(GOOD))
    position = data.draw(st.integers(0, len(envelope) - 1))
    envelope[position] ^= data.draw(st.integers(1, 255))
    verdict = look(bytes(envelope))
    assert isinstance(verdict, Refused)
    assert verdict.reason in {"malformed", "bad_signature"}


def test_a_clock_within_the_limits_is_no_reason() -> None:
    envelope = command("AMI1", iat=START_S + 300, exp=START_S + 301)
    assert isinstance(look(envelope, clock_s=START_S), LoadProfileRead)
    assert isinstance(look(envelope, clock_s=START_S + 300.9), LoadProfileRead)
    assert isinstance(look(envelope, clock_s=START_S + 301), Refused)


@pytest.mark.parametrize(
    ("message", "token"),
    [
        (b'{"fence":"abc"}', "abc"), (b' {"fence": ""}', ""), (b'{"fence":1}', None), (b'{"fence":"a","x":1}', None),
        (b"{", None), (b"[]", None), (b"fence", None), (b"\x00", None), (signed(GOOD), None),
    ],
)  # fmt: skip
def test_fences(message: bytes, token: str | None) -> None:
    assert fence_token(message) == token
