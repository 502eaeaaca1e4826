"""Errors in the shapes that torc's clients know (torc wire 3.1)."""

import logging
import sqlite3
from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

_log = logging.getLogger(__name__)


class ApiError(Exception):
    """An answer other than success: `status` and the object that stands under the body's `error` key."""

    def __init__(self, status: int, error: Mapping[str, object]) -> None:
        super().__init__(error["message"])
        self.status = status
        self.error = error


def not_found(message: str) -> ApiError:
    """404 of a record that doesn't exist."""
    return ApiError(404, {"error": "NotFound", "message": message})


def invalid(message: str, **more: object) -> ApiError:
    """422: understood, but against a rule; `more` names the field and the value at fault."""
    return ApiError(422, {"message": message, **more})


def wrong_state(message: str) -> ApiError:
    """torc answers 500 to a page size out of range and to starting a job that is not pending."""
    return ApiError(500, {"error": "InternalServerError", "message": message})


def not_served(what: str) -> ApiError:
    """501: torc has it, the built-in server doesn't."""
    message = f"The built-in server does not support {what}; use torc-server for this workflow."
    return ApiError(501, {"error": "NotImplemented", "message": message})


def unavailable(error: Exception) -> ApiError:
    """503: the database is locked by another program, damaged, its disk is full, or the like; nothing was done."""
    _log.warning("A request failed because of the database: %s", error)
    message = f"The server's database can't be used now ({error}); try again."
    return ApiError(503, {"error": "ServiceUnavailable", "message": message})


def response(error: ApiError) -> Response:
    """The answer in torc's shape."""
    return JSONResponse({"error": error.error}, error.status)


def install_handlers(app: FastAPI) -> None:
    """Make every error of `app` leave in torc's shape."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(sqlite3.DatabaseError, _unavailable)
    app.add_exception_handler(Exception, _unexpected)


def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101  # registered for this class alone
    return response(error)


def _unavailable(_: Request, error: Exception) -> Response:
    # a damaged file has no class of its own; the others are faults of this program
    if type(error) is not sqlite3.DatabaseError and not isinstance(error, sqlite3.OperationalError):
        raise error
    return response(unavailable(error))


def _unexpected(_: Request, error: Exception) -> Response:
    # The framework writes the traceback to the server's log after this answer.
    return JSONResponse({"error": {"error": "InternalServerError", "message": type(error).__name__}}, 500)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class alone
    if error.status_code == 400:
        return PlainTextResponse(f"Failed to parse the request body as JSON: {error.detail}", 400)
    return Response(status_code=error.status_code)


def _bad_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class alone
    first = error.errors()[0]
    place, reason = first["loc"], first["msg"]
    if place[0] == "path":
        return PlainTextResponse(f"Invalid URL: {place[-1]}: {reason}", 400)
    if place[0] == "query":
        return PlainTextResponse(f"Failed to deserialize query string: {place[-1]}: {reason}", 400)
    if "json" not in request.headers.get("content-type", ""):
        return PlainTextResponse("Expected request with `Content-Type: application/json`", 415)
    if first["type"] == "json_invalid":
        return PlainTextResponse(f"Failed to parse the request body as JSON: {reason}", 400)
    where = ".".join(str(part) for part in place[1:])
    text = f"Failed to deserialize the JSON body into the target type: {where}: {reason}"
    return PlainTextResponse(text.encode("utf-8", "replace"), 422)
