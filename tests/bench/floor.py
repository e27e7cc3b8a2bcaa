"""The least that forwarding can cost here: AEAD protection and GSO sends alone, in C, to sockets that are emptied."""

import contextlib
import socket
import statistics
import subprocess
import tempfile
from pathlib import Path

from cffi import FFI
from pylibsrtp._binding import ffi as srtp_ffi
from pylibsrtp._binding import lib as srtp_lib

from media.forwarder.native.binding import address_of
from media.forwarder.native.build import compiler
from media.forwarder.sendbatch import destination
from media.transport.srtp import PROFILES, SrtpPair, split_keys

SUBSCRIBERS, BURST, PACKET_BYTES, ROUNDS = 100, 10, 1100, 60


def floor_us(address: str) -> float | None:
    """CPU per packet; None without a compiler."""
    chosen = compiler()
    if chosen is None:
        return None
    ffi = FFI()
    ffi.cdef("double floor_round(int, uintptr_t, const uintptr_t *, const uint8_t *, int, int, int, int);")
    with tempfile.TemporaryDirectory(prefix="bench-floor-") as folder, contextlib.ExitStack() as stack:
        built = Path(folder) / "floor.so"
        source = Path(__file__).with_suffix(".c")
        subprocess.run([chosen, "-O2", "-shared", "-fPIC", "-o", str(built), str(source)], check=True)
        calls = ffi.dlopen(str(built))
        sender, *receivers = (stack.enter_context(_udp(address)) for _ in range(SUBSCRIBERS + 1))
        keys = [split_keys(PROFILES[0], bytes((each,)) * PROFILES[0].exported_bytes) for each in range(SUBSCRIBERS)]
        pairs = [SrtpPair(each) for each in keys]
        contexts = ffi.new("uintptr_t[]", [address_of(pair.send_context) for pair in pairs])
        names = b"".join(destination(each.getsockname(), segments=True).name for each in receivers)
        protect = address_of(srtp_ffi.addressof(srtp_lib, "srtp_protect"))
        costs: list[float] = []
        for number in range(ROUNDS):
            spent = calls.floor_round(
                sender.fileno(), protect, contexts, names, SUBSCRIBERS, BURST, PACKET_BYTES, number * BURST
            )
            if spent < 0:
                return None
            costs.append(spent / (SUBSCRIBERS * BURST) * 1e6)
            for receiver in receivers:
                _empty(receiver)
        least: float = statistics.median(costs[ROUNDS // 4 :])
        return least


def _udp(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.setblocking(False)
    return sock


def _empty(sock: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.recv(2048)
