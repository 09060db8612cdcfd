"""Images and videos as `matting run` reads them."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

from campaign import models
from campaign.damage import damage
from campaign.kinds import Door
from campaign.laws import Try

FORMS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "JPEG2000", "PPM")
OTHERS = ("DDS", "ICO", "PCX", "SGI", "SPIDER", "XBM", "MSP")
EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\n"
    b"(touch) (w) file closefile\n%%EOF\n"
)


@dataclass(frozen=True)
class Shared:
    """A model, images by format, and a clip."""

    xml: bytes
    weights: bytes
    images: dict[str, bytes]
    clip: bytes


def _prepare() -> Shared:
    import av
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 255, (models.SIZE[1], models.SIZE[0], 3), np.uint8)
    images = {}
    for form in (*FORMS, *OTHERS):
        image = Image.fromarray(pixels)
        stream = io.BytesIO()
        mode = {"SPIDER": "F", "XBM": "1", "MSP": "1"}.get(form, "RGB")
        try:
            image.convert(mode).save(stream, form)
        except (OSError, ValueError, KeyError):
            continue
        images[form] = stream.getvalue()
    with tempfile.TemporaryDirectory() as name:
        xml = models.write_model(Path(name))
        path = Path(name, "clip.mp4")
        with av.open(str(path), "w") as container:
            stream_ = container.add_stream("mpeg4", rate=10)
            stream_.width, stream_.height, stream_.pix_fmt = *models.SIZE, "yuv420p"
            for number in range(6):
                frame = av.VideoFrame.from_ndarray(np.roll(pixels, number, 1), format="rgb24")
                container.mux(stream_.encode(frame))
            container.mux(stream_.encode())
        return Shared(
            xml.read_bytes(), xml.with_suffix(".bin").read_bytes(), images, path.read_bytes()
        )


MODULES = ("toolchain.run.runner", "toolchain.api.matting", "av", "PIL.Image")
PICTURES = Door("images", MODULES, _prepare, memory=2400, disk=64)
VIDEOS = Door("videos", MODULES, _prepare, memory=900, disk=64)


def _run(one: Try, source: str, data: bytes, target: str = "out.png") -> int:
    one.write("m.xml", one.shared.xml)
    one.write("m.bin", one.shared.weights)
    one.keep("bgr.png", one.shared.images["PNG"])
    one.write(source, data)
    arguments = ("--model", "m.xml", "--src", source, "--bgr", "bgr.png", "-o", target, "-q")
    code = one.run("matting", "run", *arguments, seconds=90).code
    hidden = [p.name for p in one.folder.iterdir() if p.name.startswith(".")]
    hidden = [name for name in hidden if not name.endswith(".lock")]
    one.expect(not hidden, "memory or disk", f"left {hidden}")
    if code:
        one.expect(not (one.folder / target).is_file(), "wrong artefact", "a result after an error")
    return code


def _damaged(form: str) -> None:
    suffix = {"JPEG": "jpg", "TIFF": "tif", "JPEG2000": "jp2"}.get(form, form.lower())

    @PICTURES.kind(f"a damaged {form}")
    def attempt(one: Try) -> None:
        _run(one, f"src.{suffix}", damage(one.shared.images[form], one.rng))


for _form in FORMS:
    _damaged(_form)


@PICTURES.kind("another format behind the name of an image")
def _other(one: Try) -> None:
    formats = [form for form in OTHERS if form in one.shared.images]
    data = one.rng.choice([*(one.shared.images[form] for form in formats), EPS])
    data = damage(data, one.rng, 1) if one.rng.random() < 0.3 else data
    code = _run(one, one.rng.choice(("src.png", "src.jpg", "src.tif")), data)
    one.expect(code != 0, "wrong artefact", "it was read")


@PICTURES.kind("a header that declares more than there is")
def _bomb(one: Try) -> None:
    png = one.shared.images["PNG"]
    import struct
    import zlib

    width, height = one.rng.choice(((60_000, 60_000), (2**31 - 1, 1), (0, 0), (30_000, 1000)))
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    data = png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
    one.expect(_run(one, "src.png", data) != 0, "wrong artefact", "it was read")


@PICTURES.kind("metadata of any bytes")
def _metadata(one: Try) -> None:
    jpeg = one.shared.images["JPEG"]
    exif = (
        b"Exif\0\0"
        + one.rng.choice((b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0"))
        + one.rng.randbytes(90)
    )
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    comment = b"\xff\xfe\0\x14\x1b]0;owned\x07\x1b[2J\n\nOK"
    _run(one, "src.jpg", jpeg[:2] + segment + comment + jpeg[2:])


@VIDEOS.kind("a damaged clip")
def _clip(one: Try) -> None:
    _run(one, "src.mp4", damage(one.shared.clip, one.rng), "out.mp4")


@VIDEOS.kind("a truncated clip")
def _truncated(one: Try) -> None:
    data = one.shared.clip[: one.rng.randrange(len(one.shared.clip))]
    _run(one, "src.mp4", data, "out.mp4")


@VIDEOS.kind("another content behind the name of a clip")
def _content(one: Try) -> None:
    rng = one.rng
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXTINF:1,\nhttp://127.0.0.1:9/x\n"
    concat = b"ffconcat version 1.0\nfile /etc/passwd\n"
    data = rng.choice((playlist, concat, rng.randbytes(5000), b"", b"[Script Info]\n", EPS))
    one.expect(_run(one, "src.mp4", data, "out.mp4") != 0, "wrong artefact", "it was read")
