"""The device's side of docs/command-envelope.md."""

from __future__ import annotations

import base64
from uuid import uuid4

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from meters.device.command import Command, Refused, key_id, verify
from meters.device.outcomes import Outcome
from meters.device.purposes import PURPOSES, purpose_of
from tests.meters.meter_yard import HEAD_END_KEY, HEADER, START_S, base64url, command

STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
ID = str(uuid4())
KEYS = {key_id(HEAD_END_KEY.public_key()): HEAD_END_KEY.public_key()}


def look(envelope: bytes, *, last_counter: int = 0, clock_s: float = START_S) -> Command | Refused:
    return verify(envelope, serial="AMI1", keys=KEYS, clock_s=clock_s, last_counter=last_counter)


def signed(payload: object, header: bytes = HEADER) -> bytes:
    text = base64url(header) + b"." + base64url(orjson.dumps(payload))
    return text + b"." + base64url(HEAD_END_KEY.sign(text))


def test_a_good_command_is_accepted() -> None:
    envelope = command("AMI1", jti=ID, counter=5, params={"from": START_S, "to": START_S + 900})
    params = {"from": START_S, "to": START_S + 900}
    assert look(envelope, last_counter=4) == Command(ID, 5, "load_profile.read", params)


def test_the_key_id_is_the_thumbprint_of_rfc_8037() -> None:
    # RFC 8037, appendix A.2 and A.3.
    public = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    assert key_id(Ed25519PublicKey.from_public_bytes(public)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


OTHER_KEY = HEADER.replace(key_id(HEAD_END_KEY.public_key()).encode(), key_id(STRANGER.public_key()).encode())


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (command("AMI1", jti=ID, header=OTHER_KEY), "unknown_key"),
        (command("AMI1", jti=ID, header=OTHER_KEY, key=STRANGER), "unknown_key"),
        (command("AMI1", jti=ID, key=STRANGER), "bad_signature"),
        (command("AMI2", jti=ID), "wrong_device"),
        (command("AMI1", jti=ID, exp=START_S), "expired"),
        (command("AMI1", jti=ID, iat=START_S + 301), "not_yet_valid"),
        (command("AMI1", jti=ID, nbf=START_S + 1), "not_yet_valid"),
        (command("AMI1", jti=ID, counter=4), "replayed"),
    ],
)
def test_each_reason_to_refuse(envelope: bytes, reason: str) -> None:
    assert look(envelope, last_counter=4) == Refused(reason, ID)  # type: ignore[arg-type]  # a StrEnum equals its text


@pytest.mark.parametrize(
    ("purpose", "params", "capabilities", "reason"),
    [
        ("relay.open", {}, {"keeps_load_profile"}, "unknown_purpose"),
        ("load_profile.read", {"from": 0, "to": 900}, {}, "not_supported"),
        ("load_profile.read", {}, {}, "not_supported"),
        ("ping", {"now": 1}, {}, "bad_parameters"),
        ("register.read", {"which": "1.8.0"}, {}, "bad_parameters"),
        *[
            ("load_profile.read", params, {"keeps_load_profile"}, "bad_parameters")
            for params in (
                {}, {"from": START_S}, {"from": START_S, "to": START_S}, {"from": START_S + 1, "to": START_S + 900},
                {"from": START_S, "to": START_S + 901}, {"from": START_S + 900, "to": START_S},
                {"from": "0", "to": 900}, {"from": False, "to": 900}, {"from": -900, "to": 900},
                {"from": 0, "to": 900, "unit": "h"},
            )
        ],
    ],
)  # fmt: skip
def test_what_a_meter_cannot_do_it_does_not(
    purpose: str, params: dict[str, object], capabilities: set[str], reason: str
) -> None:
    assert purpose_of(Command(ID, 1, purpose, params), capabilities, 900) == reason


@pytest.mark.parametrize("name", ["ping", "register.read"])
def test_harmless_purposes_need_nothing(name: str) -> None:
    assert purpose_of(Command(ID, 1, name, {}), (), 900) is PURPOSES[name]


def test_the_first_reason_in_the_documents_order_counts() -> None:
    wrong = {"exp": START_S, "nbf": START_S + 1}
    order = []
    for key, serial, header, claims in (
        (STRANGER, "AMI2", OTHER_KEY, wrong),
        (STRANGER, "AMI2", HEADER, wrong),
        (HEAD_END_KEY, "AMI2", HEADER, wrong),
        (HEAD_END_KEY, "AMI1", HEADER, wrong),
        (HEAD_END_KEY, "AMI1", HEADER, {**wrong, "exp": START_S + 1}),
        (HEAD_END_KEY, "AMI1", HEADER, {}),
    ):
        verdict = look(command(serial, key=key, header=header, **claims), last_counter=4)
        assert isinstance(verdict, Refused)
        order.append(str(verdict.reason))
    assert order == ["unknown_key", "bad_signature", "wrong_device", "expired", "not_yet_valid", "replayed"]


GOOD = {
    "jti": ID, "sub": "AMI1", "purpose": "load_profile.read", "iat": START_S, "nbf": START_S - 300,
    "exp": START_S + 60, "ctr": 1, "params": {"from": START_S, "to": START_S + 900},
}  # fmt: skip


@pytest.mark.parametrize(
    "envelope",
    [
        b"", b"a.b", b"a.b.c", b"a.b.c.d", b"\xff" * 300, b"{}", b'{"fence":1}', b"x" * 100_000,
        signed(GOOD) + b"=", signed(GOOD) + b"\n", signed([1]), signed("x"), signed({}),
        signed(GOOD, b'{"typ":"amilab-command+jws","alg":"EdDSA"}'), signed(GOOD, b'{"alg":"none"}'),
        signed(GOOD, b'{"alg":"EdDSA","typ":"amilab-command+jws"}'), signed(GOOD, HEADER.replace(b"EdDSA", b"none")),
        signed(GOOD, b'{"alg":"EdDSA","kid":"","typ":"amilab-command+jws"}'),
        signed(GOOD, b'{"alg":"EdDSA","kid":"../key","typ":"amilab-command+jws"}'), signed(GOOD, HEADER + b" "),
        signed({**GOOD, "more": 1}), signed({**GOOD, "ctr": True}), signed({**GOOD, "ctr": 0}),
        signed({**GOOD, "ctr": 2**63}), signed({**GOOD, "ctr": 1.0}), signed({**GOOD, "iat": "now"}),
        signed({**GOOD, "nbf": None}), signed({**GOOD, "nbf": 1.5}),
        signed({**GOOD, "jti": "1"}), signed({**GOOD, "jti": ID.upper()}), signed({**GOOD, "jti": f"{{{ID}}}"}),
        signed({**GOOD, "params": None}), signed({**GOOD, "params": {"x": "y" * 8_192}}),
        *[signed({name: value for name, value in GOOD.items() if name != lacking}) for lacking in ("exp", "nbf")],
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
    assert verdict.reason in {"malformed", "unknown_key", "bad_signature"}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries(
        {name: st.just(value) | _VALUES for name, value in GOOD.items()},
        optional={"more": _VALUES},
    ),
    st.sampled_from([HEADER, OTHER_KEY, b"{}", b"\xff"]),
)
def test_whatever_is_signed_is_taken_or_refused_and_nothing_else(claims: dict[str, object], header: bytes) -> None:
    try:
        envelope = signed(claims, header)
    except (TypeError, orjson.JSONEncodeError):
        return
    verdict = look(envelope)
    if isinstance(verdict, Command):
        assert header == HEADER
        assert claims.keys() == GOOD.keys()
        assert (claims["jti"], claims["sub"]) == (ID, "AMI1")
        assert type(claims["nbf"]) is int
        assert claims["nbf"] <= START_S
        found = purpose_of(verdict, {"keeps_load_profile"}, 900)
        assert isinstance(found, str) or found.name == claims["purpose"]


@given(st.binary(max_size=400) | st.text(alphabet="abcXYZ019-_.", max_size=300).map(str.encode))
def test_no_bytes_end_the_verifier(envelope: bytes) -> None:
    assert isinstance(look(envelope), Refused)


def test_a_clock_within_the_limits_is_no_reason() -> None:
    envelope = command("AMI1", iat=START_S + 300, nbf=START_S, exp=START_S + 301)
    assert isinstance(look(envelope, clock_s=START_S), Command)
    assert isinstance(look(envelope, clock_s=START_S + 300.9), Command)
    assert isinstance(look(envelope, clock_s=START_S + 301), Refused)
    assert isinstance(look(envelope, clock_s=START_S - 0.5), Refused)


def test_an_outcome_is_kept_whole() -> None:
    outcome = Outcome(ID, "register.read", {}, START_S, {"import_wh": 12, "voltage_l1_v": 231.4}, "broken")
    assert Outcome.of_kept(ID, outcome.kept()) == outcome
    assert outcome.is_of("register.read", {})
    assert not outcome.is_of("ping", {})
    assert not outcome.is_of("register.read", {"from": 1})
