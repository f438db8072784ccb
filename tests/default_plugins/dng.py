"""A camera RAW file, made by hand: DNG with an embedded preview, as cameras write it.

Source: Digital Negative Specification 1.7.1, chapters 2 to 4, and TIFF 6.0.
"""

import io
import struct

import numpy as np
from PIL import Image

BYTE, ASCII, SHORT, LONG, RATIONAL, SRATIONAL = 1, 2, 3, 4, 5, 10
_FORMS = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "II", SRATIONAL: "ii"}
_FROM_XYZ = (2, 0, 0, 0, 1, 0, 0, 0, 2)
_HEADER, _ENTRY = 8, 12


def dng(pixels, *, orientation=1, preview=None):
    """Return a DNG file.

    Args:
        pixels: (H, W, 3) uint8, as the sensor sees them: not upright, where there is an orientation.
        orientation: The EXIF orientation.
        preview: (H, W, 3) uint8 of the embedded JPEG, or the bytes to embed, which say to have half the sides of the
            sensor; None embeds none.
    """
    height, width = pixels.shape[:2]
    mosaic = np.empty((height, width), "<u2")  # red, green / green, blue
    for down, across, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[down::2, across::2] = pixels[down::2, across::2, channel].astype(np.uint16) * 257
    sensor = mosaic.tobytes()
    shown = b"" if preview is None else preview if isinstance(preview, bytes) else jpeg(preview)
    shape = getattr(preview, "shape", (height // 2, width // 2))[:2]
    camera = {
        271: (ASCII, b"Olpipe\0"),
        272: (ASCII, b"Olpipe One\0"),
        274: (SHORT, (orientation,)),
        50706: (BYTE, (1, 4, 0, 0)),
        50707: (BYTE, (1, 1, 0, 0)),
        50708: (ASCII, b"Olpipe One\0"),
        50721: (SRATIONAL, [part for value in _FROM_XYZ for part in (value, 2)]),
        50728: (RATIONAL, (1, 1) * 3),
        50778: (SHORT, (21,)),
    }
    raw = {
        254: (LONG, (0,)),
        256: (LONG, (width,)),
        257: (LONG, (height,)),
        258: (SHORT, (16,)),
        259: (SHORT, (1,)),
        262: (SHORT, (32803,)),
        273: (LONG, (0,)),
        277: (SHORT, (1,)),
        278: (LONG, (height,)),
        279: (LONG, (len(sensor),)),
        33421: (SHORT, (2, 2)),
        33422: (BYTE, (0, 1, 1, 2)),
        50717: (LONG, (65535,)),
    }
    if preview is None:
        return _file([raw | camera], [sensor])
    first = camera | {
        254: (LONG, (1,)),
        256: (LONG, (shape[1],)),
        257: (LONG, (shape[0],)),
        258: (SHORT, (8, 8, 8)),
        259: (SHORT, (7,)),
        262: (SHORT, (6,)),
        273: (LONG, (0,)),
        277: (SHORT, (3,)),
        278: (LONG, (shape[0],)),
        279: (LONG, (len(shown),)),
        330: (LONG, (0,)),
    }
    return _file([first, raw], [shown, sensor])


def jpeg(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def _file(directories, images):
    """Put directories one after the other, and behind them the images that they are about, the first one last."""
    starts, at = [], _HEADER
    for directory in directories:
        starts.append(at)
        at += 2 + _ENTRY * len(directory) + 4 + sum(len(_packed(*value)) for value in directory.values())
    for directory, image in reversed(list(zip(directories, images, strict=True))):
        directory[273] = (LONG, (at,))
        at += len(image)
    if len(directories) > 1:
        directories[0][330] = (LONG, (starts[1],))
    blocks = [_directory(directory, start) for directory, start in zip(directories, starts, strict=True)]
    whole = struct.pack("<2sHI", b"II", 42, _HEADER)
    for start, block in zip(starts, blocks, strict=True):
        whole = whole.ljust(start, b"\0") + block
    end = min(directory[273][1][0] for directory in directories)
    return whole.ljust(end, b"\0") + b"".join(reversed(images))


def _directory(directory, start):
    entries, rest = b"", b""
    place = start + 2 + _ENTRY * len(directory) + 4
    for tag, (kind, values) in sorted(directory.items()):
        data = _packed(kind, values)
        count = len(values) // len(_FORMS[kind])
        if len(data) > 4:
            entries += struct.pack("<HHII", tag, kind, count, place + len(rest))
            rest += data
        else:
            entries += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
    return struct.pack("<H", len(directory)) + entries + bytes(4) + rest


def _packed(kind, values):
    return struct.pack(f"<{len(values)}{_FORMS[kind][0]}", *values)
