"""The TLS of the HTTP door: browsers give camera and microphone only to pages from https (or from loopback).

Without files of its own a server on a network address makes a self-signed certificate once, in `data_dir/secrets`, and
keeps it: people trust it once per browser.
"""

import datetime
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config.settings import ServerSettings

LIFE_DAYS = 820
"""Longer ones are refused by some browsers."""


def wants_tls(settings: ServerSettings) -> bool:
    """Whether the door speaks https."""
    if settings.tls == "auto":
        return not ipaddress.ip_address(settings.listen_host).is_loopback
    return settings.tls == "files"


def context(settings: ServerSettings) -> ssl.SSLContext | None:
    """The context of the door, or None for plain http.

    Raises:
        OSError: a file cannot be read.
        ValueError: `tls: files` without files.
    """
    if not wants_tls(settings):
        return None
    if settings.tls == "files":
        if settings.tls_certificate is None or settings.tls_key is None:
            raise ValueError("server.tls is `files`, so server.tls_certificate and server.tls_key must be set")
        certificate, key = settings.tls_certificate, settings.tls_key
    else:
        certificate, key = self_signed(settings.data_dir / "secrets", settings.listen_host)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(certificate, key)
    return made


def for_phones(settings: ServerSettings) -> ssl.SSLContext:
    """The context of the SIP port with TLS: the door's certificate, or one of our own. Raises as `context`."""
    if settings.tls == "files":
        made = context(settings)
        assert made is not None
        return made
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(*self_signed(settings.data_dir / "secrets", settings.listen_host))
    return made


def self_signed(directory: Path, host: str) -> tuple[Path, Path]:
    """Certificate and key files, made when they are missing or about to expire."""
    certificate, key = directory / "server.crt", directory / "server.key"
    if certificate.exists() and key.exists() and not _expires_soon(certificate):
        return certificate, key
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lamproom")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    if not ipaddress.ip_address(host).is_unspecified:
        names.append(x509.IPAddress(ipaddress.ip_address(host)))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=LIFE_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(secret)
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def _expires_soon(certificate: Path) -> bool:
    until = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    return until - datetime.datetime.now(datetime.UTC) < datetime.timedelta(days=30)
