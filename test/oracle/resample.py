"""Writes test/goldens/resample.json: pictures in other sizes as Pillow makes them.

Made with Python 3.11 and Pillow 13.0.0. Run: python test/oracle/resample.py

The pictures have pixel (31·x² + 17·y² + 7·x·y + 101·c) mod 256, so that the test can make them itself.
"""

import json
import pathlib

from PIL import Image

CASES = [((7, 5), (3, 4)), ((7, 5), (13, 11)), ((16, 16), (16, 6)), ((2, 9), (5, 9)), ((30, 20), (4, 3))]

cases = []
for (width, height), (new_width, new_height) in CASES:
    planes = [
        bytes((31 * x * x + 17 * y * y + 7 * x * y + 101 * c) % 256 for y in range(height) for x in range(width))
        for c in range(3)
    ]
    picture = Image.merge("RGB", [Image.frombytes("L", (width, height), plane) for plane in planes])
    for resample in range(6):
        resized = picture.resize((new_width, new_height), resample=resample)
        cases.append(
            {
                "from": [height, width],
                "to": [new_height, new_width],
                "resample": resample,
                "pixels": b"".join(plane.tobytes() for plane in resized.split()).hex(),
            }
        )
path = pathlib.Path(__file__).parent.parent / "goldens" / "resample.json"
path.write_text(json.dumps(cases, indent=1) + "\n")
