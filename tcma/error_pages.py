"""One place where errors become answers: a page, an htmx fragment, or application/problem+json (RFC 9457)."""

from __future__ import annotations

import json

import structlog
from flask import Flask, Response, g, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException

from tcma.errors import DomainError, Forbidden, Invalid, NotFound, RateLimited, Stale

log = structlog.get_logger(__name__)

_HTTP_WORDS = {
    400: ("Please check the request", "The request could not be understood. Go back, reload the page and try again."),
    401: ("Please sign in", "Send an API key as “Authorization: Bearer …”, or sign in."),
    403: ("Not allowed", Forbidden.default),
    404: ("Not found", NotFound.default),
    405: ("Not possible here", "This address does not take that kind of request. Go back and use the page's buttons."),
    413: ("Too large", "This upload is larger than 64 MB. Make it smaller or split it, then try again."),
    415: ("Not this format", "Send JSON with “Content-Type: application/json”."),
    429: ("Too many tries", "Please wait a minute and try again."),
}
_FAULT = ("Something went wrong on our side", "Nothing was changed. Please try again; if it happens again, tell us the reference below.")

_AT_ONCE = {"23505", "40001", "40P01"}  # unique_violation, serialization_failure, deadlock_detected


def add_error_pages(app: Flask) -> None:
    app.register_error_handler(DomainError, _domain)
    app.register_error_handler(StaleDataError, lambda error: _domain(Stale()))
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _fault)


def _domain(error: DomainError) -> Response:
    fields = error.fields if isinstance(error, Invalid) else None
    response = answer(error.status, error.title, error.message, fields=fields)
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _csrf(error: CSRFError) -> Response:
    return answer(400, "This page is too old", "Its protection has expired. Go back, reload the page and do it again.")


def _http(error: HTTPException) -> Response:
    if error.response is not None:
        return make_response(error.response)
    code = error.code or 500
    title, message = _HTTP_WORDS.get(code, _FAULT if code >= 500 else (error.name, _HTTP_WORDS[400][1]))
    fields = getattr(error, "data", {}).get("messages") if code == 422 else None
    if code == 422:
        title, message = Invalid.title, "Some fields need mending; see which below."
    response = answer(code, title, message, fields=_flat(fields) if fields else None)
    for name, value in getattr(error, "get_headers", list)():
        if name.lower() in ("allow", "retry-after", "www-authenticate"):
            response.headers[name] = value
    return response


def _fault(error: Exception) -> Response:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        log.error("database_lost", path=request.path)
        return answer(503, "The database does not answer", "Please try again in a moment. Nothing was lost.")
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _AT_ONCE:
        # Two did the same at the same moment: a unique key or the order of locks let one of them through.
        log.warning("at_once", path=request.path, method=request.method, exc_info=True)
        return _domain(Stale())
    log.exception("fault", path=request.path, method=request.method)
    return answer(500, *_FAULT)


def _flat(messages: object, prefix: str = "") -> dict[str, str]:
    """Schema messages, however nested, as field path → words."""
    if isinstance(messages, dict):
        found: dict[str, str] = {}
        for key, value in messages.items():
            head = "" if key in ("json", "query", "form", "_schema") and not prefix else str(key)
            path = f"{prefix}.{head}".strip(".") if prefix else head
            found.update(_flat(value, path))
        return found
    words = messages if isinstance(messages, list) else [messages]
    return {prefix: " ".join(str(word) for word in words)}


def answer(status: int, title: str, message: str, *, fields: dict[str, str] | None = None) -> Response:
    """The same refusal in the form that the asker reads."""
    if request.path.startswith("/api/"):
        problem = {"type": "about:blank", "title": title, "status": status, "detail": message, "request_id": g.get("request_id", "")}
        if fields:
            problem["errors"] = fields
        response = make_response(json.dumps(problem), status)
        response.content_type = "application/problem+json"
        return response
    template = "fragments/error.html" if request.headers.get("HX-Request") else "error.html"
    page = render_template(
        template, status=status, title=title, message=message, fields=fields or {}, request_id=g.get("request_id", "")
    )
    return make_response(page, status)
