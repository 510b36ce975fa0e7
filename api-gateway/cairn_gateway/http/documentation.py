"""`/docs`: one page that shows the OpenAPI document of each API and lets people try it.

The page is Swagger UI. Its files come from the package flask-swagger-ui, of which no code is run (it would
need Flask): nothing is fetched from elsewhere, and the page may run no script and reach no server but ours.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import orjson

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotFound
from cairn_gateway.http.openapi import Described, document
from cairn_gateway.http.routes import Route

PACKAGE = "flask_swagger_ui"
FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "index.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui-standalone-preset.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cairn: the APIs</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="stylesheet" href="docs/index.css">
<link rel="stylesheet" href="docs/cairn.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/swagger-ui-standalone-preset.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
STYLE = """.swagger-ui .topbar a.link { visibility: hidden; width: 0; }
.swagger-ui .topbar-wrapper::before { content: "Cairn"; color: #fff; font: bold 1.5em sans-serif; }
"""
START = """"use strict";
window.addEventListener("load", () => {
  window.ui = SwaggerUIBundle({
    urls: %s,
    dom_id: "#swagger-ui",
    deepLinking: true,
    docExpansion: "none",
    filter: true,
    validatorUrl: null,
    queryConfigEnabled: false,
    persistAuthorization: false,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    layout: "StandaloneLayout",
  });
});
"""


def document_route(described: Described) -> Route:
    """Answers with the API's OpenAPI document, which is made when somebody first asks."""

    @functools.cache
    def made() -> bytes:
        return orjson.dumps(document(described, importlib.metadata.version("cairn")))

    async def show(_call: Call) -> Answer:
        """This API as an OpenAPI document."""
        return Answer(made(), headers={"Content-Type": "application/json", **SAFE})

    return Route("GET", described.path, show, rule=None)


def page_routes(described: Sequence[Described]) -> tuple[Route, ...]:
    """The page about those APIs, and its files."""
    urls = [{"name": one.title, "url": one.address} for one in described]
    own = {
        "start.js": (START % orjson.dumps(urls).decode(), "text/javascript; charset=utf-8"),
        "cairn.css": (STYLE, "text/css; charset=utf-8"),
    }

    async def page(_call: Call) -> Answer:
        """The page."""
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY, **SAFE}
        return Answer(PAGE.encode(), headers=headers)

    async def file(call: Call) -> Answer:
        """One of its files."""
        name = call.params["name"]
        if name in own:
            text, kind_of_own = own[name]
            return Answer(text.encode(), headers={"Content-Type": kind_of_own, **SAFE})
        kind = FILES.get(name)
        if kind is None:
            raise NotFound("The page has no such file.")
        content = await asyncio.to_thread(_content, name)
        return Answer(
            content, headers={"Content-Type": kind, "Cache-Control": "public, max-age=86400", **SAFE}
        )

    return Route("GET", "/docs", page, rule=None), Route("GET", "/docs/{name}", file, rule=None)


def _content(name: str) -> bytes:
    spec = importlib.util.find_spec(PACKAGE)  # finds it without running it
    if spec is None or not spec.submodule_search_locations:
        raise NotFound("The page's files are not installed: they come with cairn[gateway].")
    return (Path(spec.submodule_search_locations[0]) / "dist" / name).read_bytes()
