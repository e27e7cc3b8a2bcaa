"""What protecting one packet costs: libsrtp as it is used, and libcrypto's AES-GCM with a context for each receiver.

    python -m tests.bench.crypto [--json] [--receivers 100] [--bytes 1100]

The least of several turns, in ns of CPU per packet. libcrypto is Debian's; the libsrtp of pylibsrtp's wheel has another
inside, which nobody else can call. The second lacks the replay and rollover counts of SRTP, so it flatters itself.
"""

import argparse
import ctypes.util
import json
import os
import subprocess
import tempfile
from pathlib import Path

from cffi import FFI
from pylibsrtp._binding import ffi as srtp_ffi
from pylibsrtp._binding import lib as srtp_lib

from media.forwarder.native.binding import address_of
from media.forwarder.native.build import compiler
from media.transport.srtp import PROFILES, SrtpPair, split_keys

TURNS, ROUNDS = 9, 100
_LIBCRYPTO = """
void *EVP_CIPHER_CTX_new(void);
void EVP_CIPHER_CTX_free(void *);
void *EVP_aes_128_gcm(void);
int EVP_EncryptInit_ex(void *, const void *, void *, const uint8_t *, const uint8_t *);
int EVP_EncryptUpdate(void *, uint8_t *, int *, const uint8_t *, int);
int EVP_EncryptFinal_ex(void *, uint8_t *, int *);
int EVP_CIPHER_CTX_ctrl(void *, int, int, void *);
const char *OpenSSL_version(int);
"""


def measure(receivers: int, size: int) -> dict[str, object]:
    """Raises:
    RuntimeError: there is no compiler, or a function failed.
    """
    chosen = compiler()
    if chosen is None:
        raise RuntimeError("There is no C compiler.")
    ffi = FFI()
    ffi.cdef(_LIBCRYPTO)
    ffi.cdef("double by_libsrtp(uintptr_t, const uintptr_t *, int, int, int);")
    ffi.cdef("double by_evp(const uintptr_t *, const uintptr_t *, int, int, int);")
    with tempfile.TemporaryDirectory(prefix="bench-crypto-") as folder:
        built = Path(folder) / "crypto.so"
        subprocess.run([chosen, "-O2", "-shared", "-fPIC", "-o", built, Path(__file__).with_suffix(".c")], check=True)
        calls = ffi.dlopen(str(built))
    crypto = ffi.dlopen(ctypes.util.find_library("crypto"))
    names = ("EVP_EncryptInit_ex", "EVP_EncryptUpdate", "EVP_EncryptFinal_ex", "EVP_CIPHER_CTX_ctrl")
    functions = ffi.new("uintptr_t[]", [int(ffi.cast("uintptr_t", ffi.addressof(crypto, name))) for name in names])
    contexts = [crypto.EVP_CIPHER_CTX_new() for _ in range(receivers)]
    for index, context in enumerate(contexts):
        crypto.EVP_EncryptInit_ex(context, crypto.EVP_aes_128_gcm(), ffi.NULL, index.to_bytes(16, "big"), bytes(12))
    evp = ffi.new("uintptr_t[]", [int(ffi.cast("uintptr_t", each)) for each in contexts])
    protect = address_of(srtp_ffi.addressof(srtp_lib, "srtp_protect"))
    costs: dict[str, list[float]] = {"libsrtp": [], "libcrypto": []}
    for turn in range(TURNS):
        exported = bytes((turn,)) * PROFILES[0].exported_bytes
        pairs = [SrtpPair(split_keys(PROFILES[0], exported)) for _ in range(receivers)]
        own = ffi.new("uintptr_t[]", [address_of(pair.send_context) for pair in pairs])
        costs["libsrtp"].append(calls.by_libsrtp(protect, own, receivers, ROUNDS, size))
        costs["libcrypto"].append(calls.by_evp(functions, evp, receivers, ROUNDS, size))
    for context in contexts:
        crypto.EVP_CIPHER_CTX_free(context)
    if min(map(min, costs.values())) < 0:
        raise RuntimeError("A packet was not protected.")
    least = {name: round(min(each) / receivers / ROUNDS * 1e9) for name, each in costs.items()}
    version = ffi.string(crypto.OpenSSL_version(0)).decode()
    return {**least, "receivers": receivers, "bytes": size, "libcrypto_is": version, "load": os.getloadavg()[0]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crypto", description="What protecting a packet costs.")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--receivers", type=int, default=100)
    parser.add_argument("--bytes", type=int, default=1100)
    arguments = parser.parse_args()
    found = measure(arguments.receivers, arguments.bytes)
    print(json.dumps(found) if arguments.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()
