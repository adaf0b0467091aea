"""The lab's own certificate authority: an identity for the broker, each device or collector, and the head-end.

Keys are ECDSA on P-256 (NIST SP 800-57 part 1, table 2: 128 bits), certificates are X.509 version 3 (RFC 5280). The
common name is the identity: the broker takes it as the user name. An identity is one PEM file, private key first.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.errors import UserError

AUTHORITY_VALID = timedelta(days=10 * 365)
IDENTITY_VALID = timedelta(days=365)
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2, both ends: authenticated encryption and a fresh key (RFC 9325). TLS 1.3 has nothing else."""
_BACKDATED = timedelta(hours=1)
"""Clocks differ."""
_PEM = serialization.Encoding.PEM
_PLAIN = serialization.NoEncryption()


@dataclass(frozen=True, slots=True)
class Authority:
    """A key that signs identities, and the certificate that those trust."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, name: str | None = None, *, valid: timedelta = AUTHORITY_VALID) -> Authority:
        """A new one, which signs itself.

        :param name: one that no other has, by default: revocation lists are looked up by it.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name or f"amilab CA {secrets.token_hex(4)}")
        certificate = (
            _builder(subject, subject, key.public_key(), valid)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def load(cls, path: Path) -> Authority:
        """From the file that `save` wrote.

        :raises UserError: it cannot be read, or holds something else.
        """
        try:
            data = path.read_bytes()
            key = serialization.load_pem_private_key(data, password=None)
            certificate = x509.load_pem_x509_certificate(data)
        except OSError as error:
            raise UserError(f"cannot read the certificate authority {path}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} does not hold a certificate authority's key and certificate in PEM") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise UserError(f"key and certificate in {path} do not belong together")
        return cls(key, certificate)

    def save(self, path: Path, *, give: Callable[[Path], object] = lambda _path: None) -> None:
        """Key and certificate in one file, mode 0600 unless `give` makes it somebody else's."""
        write_file(path, _key_pem(self.key) + self.pem, give=give)

    @property
    def pem(self) -> bytes:
        """The certificate, for those who are to trust it."""
        return self.certificate.public_bytes(_PEM)

    def issue(
        self,
        name: str,
        *,
        hosts: Sequence[str] = (),
        valid: timedelta = IDENTITY_VALID,
        now: datetime | None = None,
    ) -> bytes:
        """The PEM of a new identity: of a client, or of a server that answers at `hosts` (names or IP addresses)."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            _builder(_name(name), self.certificate.subject, key.public_key(), valid, now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return _key_pem(key) + builder.sign(self.key, hashes.SHA256()).public_bytes(_PEM)

    def revocations(self, serials: Iterable[int]) -> bytes:
        """The PEM of a list of certificates that are not to be trusted any more (RFC 5280, section 5).

        It does not expire before we do: who withdraws trust writes a new one.
        """
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - _BACKDATED)
            .next_update(self.certificate.not_valid_after_utc)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(_PEM)


def serial_of(pem: bytes) -> int:
    """The serial number of the first certificate. Raises ValueError."""
    return x509.load_pem_x509_certificate(pem).serial_number


def write_file(path: Path, data: bytes, *, give: Callable[[Path], object] = lambda _path: None) -> None:
    """Write it in one step, so that a reader finds old or new; mode 0600 unless `give` makes it somebody else's."""
    draft = path.with_name(f".{path.name}.new")
    _write(draft, data)
    give(draft)
    draft.replace(path)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    valid: timedelta,
    now: datetime | None = None,
) -> x509.CertificateBuilder:
    now = now or datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + valid)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, _PLAIN)


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(data)
