"""A recorder's stand-in: `endless_writer.py DIRECTORY GENERATION` appends until it is killed.

Each payload is its number as 8 bytes, repeated; once a frame is appended its number goes to standard output.
"""

import os
import random
import sys
from pathlib import Path

from podcorder_agent.journal import FrameKind, Limits, Writer

directory, generation = Path(sys.argv[1]), int(sys.argv[2])
with Writer(
    directory, node="node-1", generation=generation, boot_id="ab" * 16, limits=Limits(segment_bytes=2 << 20)
) as writer:
    number = 0
    while True:
        word = number.to_bytes(8, "little")
        writer.append(FrameKind.RECORDS, word, word * random.choice((1, 10, 1000, 60_000)))
        os.write(1, word)
        number += 1
