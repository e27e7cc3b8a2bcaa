"""Digest authentication, server and client, with SHA-256 and MD5 (RFC 3261 section 22, RFC 7616, RFC 8760).

The server keeps no list of nonces that it gave: a nonce is its own time and random bytes with an HMAC over them and
over whom it was given to. What is kept, and bounded, is the highest `nc` of each nonce that was used rightly, so that
nothing that was once heard on the wire is good a second time. Secrets are kept as HA1, never as passwords.
"""

import hashlib
import hmac
import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.grammar import TOKEN, parse_parameters, quote, unquote

Algorithm: TypeAlias = Literal["SHA-256", "MD5"]

NONCE_SECONDS = 60.0
MAX_NONCES = 10_000
"""Used nonces that are remembered. When one is forgotten, all that are not younger are stale at once."""
_NC = re.compile(r"[0-9A-Fa-f]{8}")


def digest(algorithm: Algorithm, text: str) -> str:
    data = text.encode()
    if algorithm == "MD5":
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    return hashlib.sha256(data).hexdigest()


def ha1(algorithm: Algorithm, username: str, realm: str, password: str) -> str:
    """What is stored instead of a password."""
    return digest(algorithm, f"{username}:{realm}:{password}")


def response_to(algorithm: Algorithm, secret: str, nonce: str, method: str, uri: str, qop: str = "") -> str:
    """`secret` is HA1; `qop` is "" or `nc:cnonce:auth` (RFC 7616 section 3.4.1)."""
    middle = f"{nonce}:{qop}" if qop else nonce
    return digest(algorithm, f"{secret}:{middle}:{digest(algorithm, f'{method}:{uri}')}")


def parse_digest(value: str) -> dict[str, str] | None:
    """The parameters of `Digest a=b, c="d"`, unquoted; None for another scheme. Raises MessageError.

    Commas separate here, not semicolons.
    """
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        return None
    found: dict[str, str] = {}
    for piece in _pieces(rest):
        name, equals, text = (part.strip() for part in piece.partition("="))
        if not equals or not TOKEN.fullmatch(name) or name.lower() in found:
            raise MessageError("The parameters of a Digest are malformed.")
        parse_parameters(f";x={text}")
        found[name.lower()] = unquote(text)
    return found


def _pieces(text: str) -> list[str]:
    """Cut at commas outside quotes. A URI in quotes may hold brackets, so that `grammar.split` is not the tool."""
    pieces, start, quoted, escaped = [], 0, False, False
    for at, sign in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and sign == "\\":
            escaped = True
        elif sign == '"':
            quoted = not quoted
        elif sign == "," and not quoted:
            pieces.append(text[start:at])
            start = at + 1
    if quoted:
        raise MessageError("A quoted string in a Digest is not closed.")
    return [*pieces, text[start:]]


class Verdict(Enum):
    OK = "ok"
    MISSING = "missing"
    """No credentials for our realm: challenge."""
    STALE = "stale"
    """Right, but the nonce is old: challenge with stale=true."""
    WRONG = "wrong"
    """Wrong response, unknown user, another's nonce, or a replay: count it and challenge."""


@dataclass(frozen=True, slots=True)
class Judged:
    verdict: Verdict
    username: str = ""


Secrets: TypeAlias = Callable[[str, Algorithm], str | None]
"""(username, algorithm) to HA1 in the server's realm, None for an unknown user."""


class DigestServer:
    """`key`: 32 random bytes of this process. `random`: so many random bytes, for nonces.

    `legacy`: answer without qop, as RFC 2069 has it, is taken, once for each nonce.
    """

    def __init__(
        self,
        realm: str,
        key: bytes,
        random: Callable[[int], bytes],
        algorithms: tuple[Algorithm, ...] = ("SHA-256", "MD5"),
        legacy: bool = True,
        max_nonces: int = MAX_NONCES,
    ) -> None:
        self.realm = realm
        self.algorithms = algorithms
        self._key = key
        self._random = random
        self._legacy = legacy
        self._max_nonces = max_nonces
        self._forgotten = float("-inf")
        self._used: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def challenge(
        self, now: float, peer: str, stale: bool = False, algorithms: tuple[Algorithm, ...] | None = None
    ) -> list[str]:
        """Values for WWW-Authenticate (or Proxy-Authenticate), the strongest first (RFC 8760 section 2.3).

        `peer` is whom the nonce is good for: the IP address, and whatever else must not change.
        """
        head = struct.pack(">d", now) + self._random(12)
        nonce = (head + self._seal(head, peer)).hex()
        end = ", stale=true" if stale else ""
        realm = quote(self.realm)
        return [
            f'Digest realm={realm}, nonce="{nonce}", algorithm={one}, qop="auth"{end}'
            for one in algorithms or self.algorithms
        ]

    def judge(self, values: list[str], method: str, peer: str, secrets: Secrets, now: float) -> Judged:
        """`values`: the Authorization lines. Raises MessageError (400) for malformed ones."""
        for value in values:
            given = parse_digest(value)
            if given is not None and given.get("realm") == self.realm:
                return self._judge(given, method, peer, secrets, now)
        return Judged(Verdict.MISSING)

    def _judge(self, given: dict[str, str], method: str, peer: str, secrets: Secrets, now: float) -> Judged:
        username, nonce = given.get("username", ""), given.get("nonce", "")
        algorithm = _algorithm(given.get("algorithm", "MD5"))
        if algorithm not in self.algorithms:
            return Judged(Verdict.WRONG, username)
        made = self._made_at(nonce, peer)
        qop, nc = given.get("qop", ""), given.get("nc", "")
        if made is None or not self._proper(qop, nc, given):
            return Judged(Verdict.WRONG, username)
        secret = secrets(username, algorithm)
        extra = f"{nc}:{given.get('cnonce', '')}:auth" if qop else ""
        # An unknown user costs the same digest as a known one.
        expected = response_to(algorithm, secret or "", nonce, method, given.get("uri", ""), extra)
        right = hmac.compare_digest(expected, given.get("response", "").lower().encode("ascii", "replace").decode())
        if secret is None or not right:
            return Judged(Verdict.WRONG, username)
        if not made <= now <= made + NONCE_SECONDS or made <= self._forgotten:
            return Judged(Verdict.STALE, username)
        count = int(nc, 16) if qop else 0xFFFFFFFF
        if count <= self._used.get(nonce, (0, 0.0))[0]:
            return Judged(Verdict.WRONG, username)
        self._used[nonce] = count, made
        self._used.move_to_end(nonce)
        while len(self._used) > self._max_nonces:
            _, (_, old) = self._used.popitem(last=False)
            self._forgotten = max(self._forgotten, old)
        return Judged(Verdict.OK, username)

    def _proper(self, qop: str, nc: str, given: dict[str, str]) -> bool:
        if not qop:
            return self._legacy
        return qop.lower() == "auth" and _NC.fullmatch(nc) is not None and bool(given.get("cnonce"))

    def _seal(self, head: bytes, peer: str) -> bytes:
        return hmac.digest(self._key, head + peer.encode(), "sha256")[:16]

    def _made_at(self, nonce: str, peer: str) -> float | None:
        """When the nonce was made, None when not by us for this peer."""
        try:
            data = bytes.fromhex(nonce)
        except ValueError:
            return None
        if len(data) != 36 or data.hex() != nonce or not hmac.compare_digest(data[20:], self._seal(data[:20], peer)):
            return None
        made: float = struct.unpack(">d", data[:8])[0]
        return made


def _algorithm(name: str) -> Algorithm | None:
    upper = name.upper()
    return "SHA-256" if upper == "SHA-256" else "MD5" if upper == "MD5" else None


class DigestClient:
    """Answers the challenges of one realm and no other: a digest for a stranger's realm could be cracked at leisure."""

    def __init__(self, realm: str, username: str, password: str, allow_md5: bool = True) -> None:
        self._realm = realm
        self._username = username
        self._password = password
        self._allow_md5 = allow_md5
        self._count: tuple[str, int] = ("", 0)

    def answer(self, challenges: list[str], method: str, uri: str, cnonce: str) -> str | None:
        """A value for Authorization; None when no challenge is for our realm and in our ways. Raises MessageError."""
        best: tuple[Algorithm, dict[str, str]] | None = None
        for value in challenges:
            given = parse_digest(value)
            if given is None or given.get("realm") != self._realm or not given.get("nonce"):
                continue
            algorithm = _algorithm(given.get("algorithm", "MD5"))
            if algorithm == "SHA-256" or (algorithm == "MD5" and self._allow_md5 and best is None):
                best = (algorithm, given)
        if best is None:
            return None
        return self._answer(*best, method, uri, cnonce)

    def _answer(self, algorithm: Algorithm, given: dict[str, str], method: str, uri: str, cnonce: str) -> str | None:
        if not TOKEN.fullmatch(cnonce) or '"' in uri:
            raise LocalSipError("A cnonce is a token, and a URI has no quotes.")
        nonce, qops = given["nonce"], [one.strip().lower() for one in given.get("qop", "").split(",") if one.strip()]
        if qops and "auth" not in qops:
            return None
        self._count = (nonce, self._count[1] + 1 if self._count[0] == nonce else 1)
        nc = f"{self._count[1]:08x}"
        secret = ha1(algorithm, self._username, self._realm, self._password)
        proof = response_to(algorithm, secret, nonce, method, uri, f"{nc}:{cnonce}:auth" if qops else "")
        parts = [f"username={quote(self._username)}", f"realm={quote(self._realm)}", f"nonce={quote(nonce)}"]
        parts += [f'uri="{uri}"', f'response="{proof}"', f"algorithm={algorithm}"]
        if qops:
            parts += ["qop=auth", f"nc={nc}", f'cnonce="{cnonce}"']
        if "opaque" in given:
            parts.append(f"opaque={quote(given['opaque'])}")
        return "Digest " + ", ".join(parts)
