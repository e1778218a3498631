"""The pages that explain the API, from files of our own: they work offline and load nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterator
from importlib import resources
from typing import Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from emberkeep.base.errors import EmberkeepError
from emberkeep.base.identity import Permission
from emberkeep.web import errors

_PUBLIC: Final = {"permission": Permission.PUBLIC}
_HTML: Final = "text/html"  # The framework adds the charset.
_PAGE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "cache-control": "no-cache",
}


def make_routes(document: bytes) -> list[HTTPRouteHandler]:
    """Return the pages, and the document that they are drawn from."""
    page = _read_static("docs.html")
    script = _read_static("docs.js")
    style = _read_static("docs.css")

    @get("/", opt=_PUBLIC, include_in_schema=False, status_code=307)
    async def show_root() -> Redirect:
        return Redirect("/docs", status_code=307)

    @get("/docs", opt=_PUBLIC, include_in_schema=False)
    async def show_docs() -> Response[bytes]:
        return Response(page, media_type=_HTML, headers=_PAGE_HEADERS)

    @get("/docs/docs.js", opt=_PUBLIC, include_in_schema=False)
    async def show_script() -> Response[bytes]:
        return Response(script, media_type="text/javascript", headers=_PAGE_HEADERS)

    @get("/docs/docs.css", opt=_PUBLIC, include_in_schema=False)
    async def show_style() -> Response[bytes]:
        return Response(style, media_type="text/css", headers=_PAGE_HEADERS)

    @get(errors.REFERENCE_PATH, opt=_PUBLIC, include_in_schema=False)
    async def show_errors() -> Response[bytes]:
        return Response(_render_errors(), media_type=_HTML, headers=_PAGE_HEADERS)

    @get("/openapi.json", opt=_PUBLIC, include_in_schema=False)
    async def show_document() -> Response[bytes]:
        return Response(document, media_type="application/json", headers=_PAGE_HEADERS)

    return [show_root, show_docs, show_script, show_style, show_errors, show_document]


def list_error_types() -> list[type[EmberkeepError]]:
    """Return every class of anticipated failures that is loaded and has a code of its own."""
    own = (cls for cls in _walk(EmberkeepError) if "code" in vars(cls))
    return sorted(own, key=lambda cls: cls.code)


def _walk(cls: type[EmberkeepError]) -> Iterator[type[EmberkeepError]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _walk(sub)


def _render_errors() -> bytes:
    rows = "".join(_render_error(cls) for cls in list_error_types() if _is_answered(cls))
    return _read_static("errors.html").replace(b"<!-- rows -->", rows.encode())


def _is_answered(cls: type[EmberkeepError]) -> bool:
    return any(kind in errors.STATUS_OF for kind in cls.__mro__)


def _render_error(cls: type[EmberkeepError]) -> str:
    code = html.escape(cls.code)
    # Only the first paragraph: the rest is for those who read the code.
    meaning = html.escape((cls.__doc__ or "").split("\n\n")[0])
    return (
        f'<tr id="{code}"><td><a href="#{code}"><code>{code}</code></a></td>'
        f"<td>{int(errors.find_status(cls))}</td><td>{meaning}</td></tr>\n"
    )


def _read_static(name: str) -> bytes:
    return resources.files("emberkeep.web").joinpath("static", name).read_bytes()
