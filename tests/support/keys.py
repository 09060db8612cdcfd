"""Keys for signing."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PEM, SPKI = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
PKCS8 = serialization.PrivateFormat.PKCS8


def write_keys(
    folder: Path, name: str = "key", curve: ec.EllipticCurve | None = None, password: str = ""
) -> tuple[Path, Path]:
    """Write a private key and its public key as PEM."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    return _write(folder, name, key, password)


def write_rsa(folder: Path) -> tuple[Path, Path]:
    """Write keys of a kind that the format does not support."""
    return _write(folder, "rsa", rsa.generate_private_key(65_537, 2048), "")


def _write(
    folder: Path, name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: str
) -> tuple[Path, Path]:
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    encryption = (
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption()
    )
    private.write_bytes(key.private_bytes(PEM, PKCS8, encryption))
    public.write_bytes(key.public_key().public_bytes(PEM, SPKI))
    return private, public
