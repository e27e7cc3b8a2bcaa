"""Pages as HTML: `render("dispatch", nonce=..., language=..., me=..., config=...)`.

Pure but for reading templates and language tables. Everything is escaped. A page carries its facts for the scripts in
one `<meta name="lamproom">`; the only inline script is the import map, which carries the nonce of the response's
Content-Security-Policy (`csp(nonce)`).
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from web import vendor

HERE = Path(__file__).parent
STATIC = HERE / "static"
LANGUAGES = ("zh", "en")
MODULE_PAGES = frozenset(
    {
        "login", "dispatch", "supervisor", "check", "guest", "duty", "plan", "muster", "registry", "phones", "review",
        "alerts", "users", "audit", "system", "settings", "cameras",
    }
)  # fmt: skip
"""Pages that need the vendor folder; without it they say so instead of staying blank."""
PAGES = MODULE_PAGES | {"enter", "join", "error"}

IMPORT_MAP: dict[str, str] = {
    "lit": "/static/vendor/lit/index.js",
    "lit/": "/static/vendor/lit/",
    "lit-html": "/static/vendor/lit-html/lit-html.js",
    "lit-html/": "/static/vendor/lit-html/",
    "lit-element/": "/static/vendor/lit-element/",
    "@lit/reactive-element": "/static/vendor/@lit/reactive-element/reactive-element.js",
    "uplot": "/static/vendor/uplot/uPlot.esm.js",
}


def csp(nonce: str) -> str:
    """The Content-Security-Policy that the pages keep: nothing from elsewhere, no inline style, no inline script."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'nonce-{nonce}'",
            "style-src 'self'",
            "img-src 'self' data: blob:",
            "media-src 'self' blob: mediastream:",
            "connect-src 'self'",
            "font-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


@lru_cache(maxsize=len(LANGUAGES))
def words(language: str) -> dict[str, str]:
    """The table of one language."""
    table: dict[str, str] = json.loads((STATIC / "i18n" / f"{language}.json").read_text("utf-8"))
    return table


def choose_language(asked: str | None, accept_language: str = "") -> str:
    """The asked one if we have it, else the browser's first that we have, else Chinese."""
    wanted = [asked or "", *(part.split(";")[0] for part in accept_language.split(","))]
    for tag in wanted:
        if (short := tag.strip().lower().split("-")[0]) in LANGUAGES:
            return short
    return "zh"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(
    template: str, *, nonce: str, language: str | None = None, me: dict[str, Any] | None = None, config: dict[str, Any]
) -> str:
    """One page.

    `template` is one of `PAGES`. `me` is `GET /api/me` or None. `config` reaches the scripts as it is and may hold
    `simulated`, `version`, `accept_language`; for `error` also `status` and `text` `{zh, en}`; for `enter` and `join`
    `code` (the one-time code to redeem) or `text` `{zh, en}` (why the link does not work).

    Raises:
        KeyError: no such page.
    """
    if template not in PAGES:
        raise KeyError(template)
    own = str((me or {}).get("language") or "")
    chosen = choose_language(language, f"{config.get('accept_language', '')},{own}")
    if template in MODULE_PAGES and not vendor.is_ready():
        text = {name: words(name)["page.vendor_missing"] for name in LANGUAGES}
        template, config = "error", {**config, "status": 503, "text": text}
    client = {
        "page": template,
        "language": chosen,
        "language_fixed": language is not None,
        "me": me,
        "config": {key: value for key, value in config.items() if key != "accept_language"},
    }
    return (
        _environment()
        .get_template(f"{template}.html")
        .render(
            csp_nonce=nonce,
            language=chosen,
            html_lang="zh-CN" if chosen == "zh" else "en",
            t=words(chosen),
            other=words("en" if chosen == "zh" else "zh"),
            me=me,
            config=config,
            client_json=json.dumps(client, ensure_ascii=False),
            import_map=json.dumps({"imports": IMPORT_MAP}),
        )
    )
