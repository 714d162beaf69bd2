"""What the recorder makes of the limits that it is started with."""

from __future__ import annotations

import subprocess
import sys

LIFT = """
import resource
from podcorder_agent.recorder.privileges import lift_memory_limit
kind = resource.RLIMIT_MEMLOCK
resource.setrlimit(kind, (65536, resource.getrlimit(kind)[1]))
lift_memory_limit()
print(*resource.getrlimit(kind))
"""


def test_the_limit_of_locked_memory_is_lifted_as_far_as_may_be() -> None:
    """A soft limit below the hard one does not stay there, whatever privileges there are."""
    soft, hard = subprocess.run([sys.executable, "-c", LIFT], check=True, stdout=subprocess.PIPE).stdout.split()
    assert soft == hard != b"65536"
