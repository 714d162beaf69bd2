"""`python -m podcorder_agent.recorder.bcc`: a request as JSON on stdin, the instructions as JSON on stdout.

Apart from the recorder because LLVM takes 130 MB, which go with the process. It needs no privileges.
"""

from __future__ import annotations

import json
import os
import sys

from podcorder_agent.errors import PodcorderError
from podcorder_agent.recorder.bcc.compiler import compile_objects


def main() -> int:
    request = json.load(sys.stdin)
    answer = os.dup(1)
    os.dup2(2, 1)  # bcc prints on either
    try:
        compiled = compile_objects(request)
    except PodcorderError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    with os.fdopen(answer, "w") as output:
        json.dump(compiled, output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
