"""Keys to sign with."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PEM, SPKI = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
PKCS8 = serialization.PrivateFormat.PKCS8


def write_keys(
    folder: Path, name: str = "key", curve: ec.EllipticCurve | None = None, password: str = ""
) -> tuple[Path, Path]:
    """A private key and its public one, as PEM."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    return _written(folder, name, key, password)


def write_rsa(folder: Path) -> tuple[Path, Path]:
    """Keys of a kind that the format does not take."""
    return _written(folder, "rsa", rsa.generate_private_key(65_537, 2048), "")


def _written(
    folder: Path, name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: str
) -> tuple[Path, Path]:
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    how = (
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption()
    )
    private.write_bytes(key.private_bytes(PEM, PKCS8, how))
    public.write_bytes(key.public_key().public_bytes(PEM, SPKI))
    return private, public
