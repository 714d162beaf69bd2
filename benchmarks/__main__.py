"""`make bench`: everything that is measured, as tables; takes about three minutes on a quiet machine."""

from __future__ import annotations

import os
import platform

from benchmarks import exporter, halves, kernel


def main() -> None:
    print(
        f"Linux {platform.release()}, {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}\n"
    )
    for part in (kernel, exporter, halves):
        print(part.run(), flush=True)


if __name__ == "__main__":
    main()
