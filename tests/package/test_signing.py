"""Signatures in the OpenSSF format: ours and those of its own command, each taken by the other."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.bundles import FILES, flipped, write_folder, write_small
from tests.support.keys import write_keys, write_rsa
from toolchain.errors import SignatureError, ToolchainError, UsageError
from toolchain.package.manifest import FILE, SIGNATURE
from toolchain.package.signing import PASSWORD, require_signing, sign, verify
from toolchain.stages.unpack import UnpackRequest, unpack
from toolchain.stages.verify import VerifyRequest
from toolchain.stages.verify import verify as verify_bundle

TOOL = Path(sys.executable).with_name("model_signing")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "m-1.0")


def tool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The format's own command."""
    return subprocess.run([TOOL, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_what_is_signed_is_verified(
    curve: ec.EllipticCurve, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every curve, without a network, beside the folder or in it."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    private, public = write_keys(tmp_path, curve=curve)
    for signature in (tmp_path / "m.sig", folder / SIGNATURE):
        sign(folder, private, signature)
        verify(folder, public, signature)


def test_the_format_s_own_command_takes_ours(folder: Path, tmp_path: Path) -> None:
    """As it lies, with no options; and refuses it once a file was changed."""
    private, public = write_keys(tmp_path)
    signature = folder / SIGNATURE
    sign(folder, private, signature)
    command = ("verify", "key", folder, "--signature", signature, "--public_key", public)
    done = tool(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "m.onnx").write_bytes(flipped(FILES["m.onnx"], 3))
    assert tool(*command).returncode != 0


def test_we_take_what_that_command_signs(folder: Path, tmp_path: Path) -> None:
    """With its default options and its default place."""
    private, public = write_keys(tmp_path)
    signature = folder / SIGNATURE
    done = tool("sign", "key", folder, "--signature", signature, "--private_key", private)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verify_bundle(VerifyRequest(folder, key=public)).signed


def test_a_signature_that_leaves_the_manifest_out_is_none(folder: Path, tmp_path: Path) -> None:
    """Though the key is right: nothing would answer for the files."""
    private, public = write_keys(tmp_path)
    signature = tmp_path / "m.sig"
    command = ("sign", "key", folder, "--signature", signature, "--private_key", private)
    assert tool(*command, "--ignore-paths", folder / FILE).returncode == 0
    with pytest.raises(SignatureError, match=r"does not cover manifest\.json"):
        verify(folder, public, signature)


def test_another_key_another_file_and_no_signature_are_told(folder: Path, tmp_path: Path) -> None:
    """Each with its own sentence, by the name of the signature."""
    private, public = write_keys(tmp_path)
    _, other = write_keys(tmp_path, "other")
    signature = folder / SIGNATURE
    with pytest.raises(SignatureError, match="is not signed"):
        verify(folder, public, signature)
    sign(folder, private, signature)
    with pytest.raises(SignatureError, match="does not match"):
        verify(folder, other, signature)
    good = signature.read_bytes()
    for bad in (b"", b"{}", good[: len(good) // 2], good.replace(b'"sig":"M', b'"sig":"N')):
        assert bad != good
        signature.write_bytes(bad)
        with pytest.raises(SignatureError, match="not a signature of this bundle"):
            verify(folder, public, signature)
    signature.write_bytes(good)
    (folder / "more").write_bytes(b"x")
    with pytest.raises(SignatureError, match="more"):
        verify(folder, public, signature)


def test_an_archive_s_signature_lies_beside_it_and_moves_in(tmp_path: Path) -> None:
    """Verified before anything is written, then kept with the plain layout; else refused."""
    private, public = write_keys(tmp_path)
    _, other = write_keys(tmp_path, "other")
    archive = write_small(tmp_path / "m-1.0.tar.gz")
    sign(write_folder(tmp_path / "m-1.0"), private, tmp_path / "m-1.0.tar.gz.sig")
    assert verify_bundle(VerifyRequest(archive, key=public)).signed
    with pytest.raises(SignatureError):
        unpack(UnpackRequest(archive, tmp_path / "out", key=other))
    assert not (tmp_path / "out").exists()
    made = unpack(UnpackRequest(archive, tmp_path / "out", key=public))
    assert made.signature == tmp_path / "out" / SIGNATURE
    assert verify_bundle(VerifyRequest(tmp_path / "out", key=public)).signed
    moved = shutil.move(tmp_path / "m-1.0.tar.gz.sig", tmp_path / "elsewhere.sig")
    with pytest.raises(SignatureError, match="is not signed"):
        verify_bundle(VerifyRequest(archive, key=public))
    assert verify_bundle(VerifyRequest(archive, key=public, signature=Path(moved))).signed


def test_another_layout_can_be_signed_anew(tmp_path: Path) -> None:
    """Its files are others, so the archive's signature is not carried over."""
    private, public = write_keys(tmp_path)
    archive = write_small(tmp_path / "m-1.0.tar.gz")
    sign(write_folder(tmp_path / "m-1.0"), private, tmp_path / "m-1.0.tar.gz.sig")
    assert unpack(UnpackRequest(archive, tmp_path / "a", "huggingface")).signature is None
    made = unpack(UnpackRequest(archive, tmp_path / "b", "huggingface", sign=private))
    assert made.signature is not None
    assert verify_bundle(VerifyRequest(tmp_path / "b", key=public)).signed
    command = ("verify", "key", tmp_path / "b", "--signature", made.signature)
    assert tool(*command, "--public_key", public).returncode == 0


def test_keys_that_can_not_be_used_are_bad_arguments(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another kind, no key at all, nothing there, and an encrypted one without its password."""
    rsa_private, rsa_public = write_rsa(tmp_path)
    locked, public = write_keys(tmp_path, "locked", password="secret")
    (tmp_path / "text").write_text("no key")
    for key in (rsa_private, tmp_path / "text", tmp_path / "nowhere", locked, public):
        with pytest.raises(UsageError, match="can't be used as a private key"):
            sign(folder, key, tmp_path / "m.sig")
        assert not (tmp_path / "m.sig").exists()
    monkeypatch.setitem(os.environ, PASSWORD, "secret")
    sign(folder, locked, tmp_path / "m.sig")
    verify(folder, public, tmp_path / "m.sig")
    for key in (rsa_public, tmp_path / "text", tmp_path / "nowhere", locked):
        with pytest.raises(UsageError, match="can't be used as a public key"):
            verify(folder, key, tmp_path / "m.sig")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the bundle needs no cryptography."""
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(ToolchainError, match="not installed") as error:
        require_signing()
    assert "[sign]" in error.value.hint
