"""What every answer carries so that a browser protects its user, and which origins may speak to us."""

import re
import secrets
from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import web

from config.settings import ServerSettings

CSP_NONCE = web.RequestKey("csp_nonce", str)
HOST = re.compile(r"[A-Za-z0-9.\-]{1,255}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")

_FIXED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), autoplay=(self), "
        "geolocation=(), payment=(), usb=(), serial=(), midi=()"
    ),
}


def csp_nonce(request: web.Request) -> str:
    """The nonce of this answer, for the one inline import map of a page."""
    if CSP_NONCE not in request:
        request[CSP_NONCE] = secrets.token_urlsafe(16)
    return request[CSP_NONCE]


def content_security_policy(host: str, nonce: str | None) -> str:
    """The policy of one answer: everything from here, nothing inline but what bears the nonce."""
    sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""
    script = f" 'nonce-{nonce}'" if nonce else ""
    return (
        f"default-src 'self'; script-src 'self'{script}; connect-src 'self'{sockets}; img-src 'self' data: blob:; "
        "media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


async def add_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal `on_response_prepare`: for every answer, of pages, files, errors and the API."""
    response.headers.update(_FIXED)
    nonce = request.get(CSP_NONCE)
    response.headers["Content-Security-Policy"] = content_security_policy(request.host, nonce)
    if request.path.startswith("/api/"):
        response.headers.setdefault("Cache-Control", "no-store")


def origin_of(url: str) -> str | None:
    """`https://host:port` in one spelling (lower case, without the port the scheme implies); None if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    implied = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if port in (None, implied) else f":{port}")


def origin_allowed(request: web.BaseRequest, further: Iterable[str]) -> bool:
    """Whether the `Origin` of a request is our own or one of `further`. No `Origin` (not a browser) is let through."""
    sent = request.headers.getall("Origin", [])
    if not sent:
        return True
    origin = origin_of(sent[0]) if len(sent) == 1 else None
    if origin is None:
        return False
    return origin in {origin_of(f"{request.scheme}://{request.host}"), *(origin_of(url) for url in further)}


def allowed_origins(settings: ServerSettings) -> tuple[str, ...]:
    """Origins that may speak to us besides the one that the request came to."""
    return (*settings.allowed_origins, *([settings.public_url] if settings.public_url else []))
