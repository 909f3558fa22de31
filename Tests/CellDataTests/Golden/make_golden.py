#!/usr/bin/env python3
"""Makes the small images beside this file and what Pillow decodes and resizes them to.

    python make_golden.py        (made with Pillow 13.0.0, numpy 2)

images.csv lists file, width, height, channels and the tolerance in grey levels; FILE.pixels holds the pixels.
resized.csv lists source, width, height; SOURCE.WIDTHxHEIGHT.pixels holds the result.
"""
import csv, io, os, struct, zlib
import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
W, H = 21, 13
rng = np.random.default_rng(20)
yy, xx = np.mgrid[0:H, 0:W]

def picture(channels):
    """A smooth picture with a little noise, so that JPEG stays close."""
    planes = [128 + 90 * np.sin(xx / (4 + c) + c) * np.cos(yy / (3 + c)) + rng.normal(0, 4, (H, W)) for c in range(channels)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)

GREY, RGB = picture(1)[..., 0], picture(3)
ALPHA = np.clip(xx * 12 + yy, 0, 255).astype(np.uint8)
RGBA = np.dstack([RGB, ALPHA])
LA = np.dstack([GREY, ALPHA])
images = []

def add(name, data, convert=None, tolerance=0):
    with open(os.path.join(HERE, name), "wb") as f: f.write(data)
    image = Image.open(io.BytesIO(data))
    image.load()
    if convert: image = image.convert(convert)
    channels = len(image.getbands())
    with open(os.path.join(HERE, name + ".pixels"), "wb") as f: f.write(np.asarray(image).astype(np.uint8).tobytes())
    images.append((name, *image.size, channels, tolerance))

def encoded(image, kind, **options):
    out = io.BytesIO(); image.save(out, kind, **options); return out.getvalue()

def png(width, height, depth, colour, rows, interlaced=0):
    def chunk(kind, body): return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

def packed(values, bits):
    """Rows of values of `bits` bits each, as bytes."""
    per = 8 // bits
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % per)))
    shifts = np.arange(per - 1, -1, -1) * bits
    return (padded.reshape(H, -1, per) << shifts).sum(-1).astype(np.uint8)

def adam7(pixels):
    rows = b""
    for y, x, dy, dx in ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)):
        for row in pixels[y::dy, x::dx]: rows += b"\0" + row.tobytes()
    return rows

def tiff(tags, chunks, order="<"):
    """A TIFF of the given (tag, type, values) and strips or tiles; type 3 is 16 bits, 4 is 32."""
    tiled = any(t[0] == 322 for t in tags)
    data = b"".join(chunks)
    at, offsets = 8, []
    for c in chunks: offsets.append(at); at += len(c)
    tags = sorted(tags + [(324 if tiled else 273, 4, offsets), (325 if tiled else 279, 4, [len(c) for c in chunks])])
    directory_at = 8 + len(data) + len(data) % 2
    extra_at = directory_at + 2 + 12 * len(tags) + 4
    directory, extra = struct.pack(order + "H", len(tags)), b""
    for tag, kind, values in tags:
        body = struct.pack(order + "%d%s" % (len(values), "HI"[kind - 3]), *values)
        if len(body) > 4:
            body, extra = struct.pack(order + "I", extra_at + len(extra)), extra + body
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + body.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", directory_at) + data + b"\0" * (len(data) % 2) + directory + b"\0" * 4 + extra

def tags(bits, photometric, samples, *more):
    return [(256, 4, [W]), (257, 4, [H]), (258, 3, [bits] * samples), (259, 3, [1]), (262, 3, [photometric]),
            (277, 3, [samples]), *more]

grey, rgb, rgba = Image.fromarray(GREY), Image.fromarray(RGB), Image.fromarray(RGBA)
palette = rgb.quantize(16)

add("grey.png", encoded(grey, "PNG"))
add("rgb.png", encoded(rgb, "PNG"))
add("rgba.png", encoded(rgba, "PNG"))
add("grey-alpha.png", encoded(Image.fromarray(LA), "PNG"))
add("palette.png", encoded(palette, "PNG"), "RGB")
add("palette-see-through.png", encoded(palette, "PNG", transparency=3), "RGB")
add("bits1.png", encoded(grey.convert("1"), "PNG"), "L")
for bits in (2, 4):
    rows = packed(GREY >> (8 - bits), bits)
    add(f"bits{bits}.png", png(W, H, bits, 0, b"".join(b"\0" + r.tobytes() for r in rows)), "L")
add("interlaced.png", png(W, H, 8, 2, adam7(RGB), 1))

add("grey.jpg", encoded(grey, "JPEG", quality=90), tolerance=2)
for name, options in {"420": dict(subsampling=2), "422": dict(subsampling=1), "444": dict(subsampling=0),
                      "progressive": dict(progressive=True), "restarts": dict(restart_marker_blocks=1)}.items():
    add(f"rgb-{name}.jpg", encoded(rgb, "JPEG", quality=85, **options), tolerance=2)

add("grey.tif", encoded(grey, "TIFF"))
add("rgb.tif", encoded(rgb, "TIFF"))
add("rgba.tif", encoded(rgba, "TIFF"))
add("palette.tif", encoded(palette, "TIFF"), "RGB")
add("bits1.tif", encoded(grey.convert("1"), "TIFF"), "L")
for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
    add(f"rgb-{compression.replace('tiff_', '')}.tif", encoded(rgb, "TIFF", compression=compression))
add("fax4.tif", encoded(grey.convert("1"), "TIFF", compression="group4"), "L")
add("grey-jpeg.tif", encoded(grey, "TIFF", compression="jpeg", quality=90), tolerance=2)
add("rgb-jpeg.tif", encoded(rgb, "TIFF", compression="jpeg", quality=90), tolerance=2)
for compression in ("jpeg", "raw"):
    add(f"ycbcr-{compression}.tif", encoded(rgb.convert("YCbCr"), "TIFF", compression=compression), "RGB", tolerance=2)
add("pages.tif", encoded(grey, "TIFF", save_all=True, append_images=[rgb, grey]))
add("white-is-zero.tif", tiff(tags(8, 0, 1), [GREY.tobytes()]))
add("bits4.tif", tiff(tags(4, 1, 1), [packed(GREY >> 4, 4).tobytes()]), "L")
add("strips-big-endian.tif", tiff(tags(8, 2, 3, (278, 3, [5])), [RGB[y:y + 5].tobytes() for y in (0, 5, 10)], ">"))
tiles = []
padded = np.pad(RGB, ((0, 16 - H), (0, 32 - W), (0, 0)))
for x in (0, 16): tiles.append(padded[:, x:x + 16].tobytes())
add("tiles.tif", tiff(tags(8, 2, 3, (322, 3, [16]), (323, 3, [16])), tiles))
add("planes.tif", tiff(tags(8, 2, 3, (284, 3, [2])), [RGB[..., c].tobytes() for c in range(3)]))
add("alpha-weighted.tif", tiff(tags(8, 2, 4, (338, 3, [1])), [(RGBA * [1, 1, 1, 0] * ALPHA[..., None] // 255
    + RGBA * [0, 0, 0, 1]).astype(np.uint8).tobytes()]), "RGBA")
add("signed.tif", tiff(tags(8, 1, 1, (339, 3, [2])), [GREY.tobytes()]))
add("unspecified-extra.tif", tiff(tags(8, 2, 4, (338, 3, [0])), [RGBA.tobytes()]), "RGB")
for turn in range(2, 9): add(f"orientation{turn}.tif", tiff(tags(8, 1, 1, (274, 3, [turn])), [GREY.tobytes()]))

def refused(name, data):
    with open(os.path.join(HERE, name), "wb") as f: f.write(data)
refused("refused-16bit.png", encoded(Image.fromarray((GREY.astype(np.uint16) * 257)), "PNG"))
refused("refused-16bit.tif", encoded(Image.fromarray((GREY.astype(np.uint16) * 257)), "TIFF"))
refused("refused-cmyk.jpg", encoded(rgb.convert("CMYK"), "JPEG"))
refused("refused-float.tif", encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"))
refused("refused-cmyk.tif", encoded(rgb.convert("CMYK"), "TIFF"))

resized = []
for source, image in (("rgb.png", rgb), ("grey.png", grey)):
    for width, height in ((9, 7), (21, 5), (4, 13), (40, 30), (21, 13), (1, 1), (2, 20)):
        out = np.asarray(image.resize((width, height), Image.BILINEAR))
        with open(os.path.join(HERE, f"{source}.{width}x{height}.pixels"), "wb") as f: f.write(out.tobytes())
        resized.append((source, width, height))

for name, rows in (("images.csv", images), ("resized.csv", resized)):
    with open(os.path.join(HERE, name), "w", newline="") as f: csv.writer(f, lineterminator="\n").writerows(rows)
