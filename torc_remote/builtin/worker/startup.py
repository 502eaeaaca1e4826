"""The first requests of a worker: is this a torc server, may we, is there work (torc wire 4.1, 5)."""

from __future__ import annotations

import logging
import time
from typing import Callable, Tuple, TypeVar

from .api import JSON, Api
from .errors import DeniedError, RefusedError, UnavailableError, WorkerError
from .initialize import initialize_if_needed

log = logging.getLogger("torc.worker")

API_VERSION = "0.23.0"
PATIENCE_SECONDS = 3.0
"""For a server that is just starting; then the user should see the reason."""

T = TypeVar("T")


def at_start(action: Callable[[], T]) -> T:
    """Do it, again for a few seconds if the server doesn't answer; then WorkerError with the reason."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return action()
        except UnavailableError as error:
            if isinstance(error, DeniedError) or time.monotonic() >= give_up:
                raise WorkerError(str(error)) from None
            time.sleep(0.2)


def prepare(api: Api, workflow_id: int) -> Tuple[JSON, str]:
    """The workflow, initialized, and the server's version."""
    version = _version(api)
    workflow = api.get("/workflows/{}".format(workflow_id))
    return initialize_if_needed(api, workflow), version


def _version(api: Api) -> str:
    try:
        reply = api.get("/version")
    except RefusedError as error:
        if error.status == 404:
            raise WorkerError("no torc server there: the URL must end in /torc-service/v1") from None
        raise
    theirs = str(reply.get("api_version", ""))
    ours, numbers = API_VERSION.split("."), theirs.split(".")
    if theirs and numbers[0] != ours[0]:
        raise WorkerError("API version incompatible: server {}, worker {}".format(theirs, API_VERSION))
    if theirs and numbers[:2] != ours[:2]:
        log.warning("API version mismatch: server %s, worker %s", theirs, API_VERSION)
    return str(reply.get("version", "unknown"))
