"""Signatures in the OpenSSF format, exchanged with the format's own command."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.keys import write_keys, write_rsa
from tests.support.packages import FILES, flip_bit, write_folder, write_small
from toolchain.errors import SignatureError, ToolchainError, UsageError
from toolchain.package.manifest import FILE, SIGNATURE
from toolchain.package.signing import PASSWORD, require_signing, sign_folder, verify_signature
from toolchain.stages.unpack.request import UnpackRequest
from toolchain.stages.unpack.unpack import unpack
from toolchain.stages.verify.request import VerifyRequest
from toolchain.stages.verify.verify import verify as verify_package

TOOL = Path(sys.executable).with_name("model_signing")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "m-1.0")


def tool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the format's own command."""
    return subprocess.run([TOOL, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_a_signature_is_verified(
    curve: ec.EllipticCurve, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every curve, without a network, next to the folder and in it."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    private, public = write_keys(tmp_path, curve=curve)
    for signature in (tmp_path / "m.sig", folder / SIGNATURE):
        sign_folder(folder, private, signature)
        verify_signature(folder, public, signature)


def test_the_format_s_own_command_verifies_our_signature(folder: Path, tmp_path: Path) -> None:
    """Without options; it refuses the signature after a file was changed."""
    private, public = write_keys(tmp_path)
    signature = folder / SIGNATURE
    sign_folder(folder, private, signature)
    command = ("verify", "key", folder, "--signature", signature, "--public_key", public)
    done = tool(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "m.onnx").write_bytes(flip_bit(FILES["m.onnx"], 3))
    assert tool(*command).returncode != 0


def test_we_verify_a_signature_of_that_command(folder: Path, tmp_path: Path) -> None:
    """With its default options and file name."""
    private, public = write_keys(tmp_path)
    signature = folder / SIGNATURE
    done = tool("sign", "key", folder, "--signature", signature, "--private_key", private)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verify_package(VerifyRequest(folder, key=public)).signed


def test_a_signature_must_cover_the_manifest(folder: Path, tmp_path: Path) -> None:
    """Otherwise it is refused, although the key is right."""
    private, public = write_keys(tmp_path)
    signature = tmp_path / "m.sig"
    command = ("sign", "key", folder, "--signature", signature, "--private_key", private)
    assert tool(*command, "--ignore-paths", folder / FILE).returncode == 0
    with pytest.raises(SignatureError, match=r"does not cover manifest\.json"):
        verify_signature(folder, public, signature)


def test_invalid_signatures_are_refused(folder: Path, tmp_path: Path) -> None:
    """No signature, another key, a damaged signature, another file."""
    private, public = write_keys(tmp_path)
    _, other = write_keys(tmp_path, "other")
    signature = folder / SIGNATURE
    with pytest.raises(SignatureError, match="is not signed"):
        verify_signature(folder, public, signature)
    sign_folder(folder, private, signature)
    with pytest.raises(SignatureError, match="does not match"):
        verify_signature(folder, other, signature)
    good = signature.read_bytes()
    for bad in (b"", b"{}", good[: len(good) // 2], good.replace(b'"sig":"M', b'"sig":"N')):
        assert bad != good
        signature.write_bytes(bad)
        with pytest.raises(SignatureError, match="not a signature of this package"):
            verify_signature(folder, public, signature)
    signature.write_bytes(good)
    (folder / "more").write_bytes(b"x")
    with pytest.raises(SignatureError, match="more"):
        verify_signature(folder, public, signature)


def test_an_archive_s_signature_is_beside_it_and_moves_into_the_folder(tmp_path: Path) -> None:
    """It is verified before anything is written, and kept with the plain layout."""
    private, public = write_keys(tmp_path)
    _, other = write_keys(tmp_path, "other")
    archive = write_small(tmp_path / "m-1.0.tar.gz")
    sign_folder(write_folder(tmp_path / "m-1.0"), private, tmp_path / "m-1.0.tar.gz.sig")
    assert verify_package(VerifyRequest(archive, key=public)).signed
    with pytest.raises(SignatureError):
        unpack(UnpackRequest(archive, tmp_path / "out", key=other))
    assert not (tmp_path / "out").exists()
    made = unpack(UnpackRequest(archive, tmp_path / "out", key=public))
    assert made.signature == tmp_path / "out" / SIGNATURE
    assert verify_package(VerifyRequest(tmp_path / "out", key=public)).signed
    moved = shutil.move(tmp_path / "m-1.0.tar.gz.sig", tmp_path / "elsewhere.sig")
    with pytest.raises(SignatureError, match="is not signed"):
        verify_package(VerifyRequest(archive, key=public))
    assert verify_package(VerifyRequest(archive, key=public, signature=Path(moved))).signed


def test_another_layout_can_be_signed_again(tmp_path: Path) -> None:
    """Its files differ, so the archive's signature is not copied."""
    private, public = write_keys(tmp_path)
    archive = write_small(tmp_path / "m-1.0.tar.gz")
    sign_folder(write_folder(tmp_path / "m-1.0"), private, tmp_path / "m-1.0.tar.gz.sig")
    assert unpack(UnpackRequest(archive, tmp_path / "a", "huggingface")).signature is None
    made = unpack(UnpackRequest(archive, tmp_path / "b", "huggingface", sign=private))
    assert made.signature is not None
    assert verify_package(VerifyRequest(tmp_path / "b", key=public)).signed
    command = ("verify", "key", tmp_path / "b", "--signature", made.signature)
    assert tool(*command, "--public_key", public).returncode == 0


def test_unusable_keys_are_usage_errors(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another kind, no key, no file, and an encrypted key without its password."""
    rsa_private, rsa_public = write_rsa(tmp_path)
    locked, public = write_keys(tmp_path, "locked", password="secret")
    (tmp_path / "text").write_text("no key")
    for key in (rsa_private, tmp_path / "text", tmp_path / "nowhere", locked, public):
        with pytest.raises(UsageError, match="cannot be used as a private key"):
            sign_folder(folder, key, tmp_path / "m.sig")
        assert not (tmp_path / "m.sig").exists()
    monkeypatch.setitem(os.environ, PASSWORD, "secret")
    sign_folder(folder, locked, tmp_path / "m.sig")
    verify_signature(folder, public, tmp_path / "m.sig")
    for key in (rsa_public, tmp_path / "text", tmp_path / "nowhere", locked):
        with pytest.raises(UsageError, match="cannot be used as a public key"):
            verify_signature(folder, key, tmp_path / "m.sig")


def test_without_the_extra_the_error_states_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing else needs cryptography."""
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(ToolchainError, match="not installed") as error:
        require_signing()
    assert "[sign]" in error.value.hint
