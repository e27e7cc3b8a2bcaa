"""Steps down from root for a moment.

SVT-AV1 gives its threads, and the thread that opens it, real-time priority (SCHED_FIFO 99) when it runs as root. They
keep it, every process started afterwards inherits it, and two of them that wait for a third by spinning bring a
two-core machine to a stop. So whoever opens that encoder does so as nobody.
"""

import contextlib
import os
from collections.abc import Iterator

NOBODY = 65534


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights, if there are any to be without."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
