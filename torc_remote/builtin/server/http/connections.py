"""How many connections there are, and how long one may take to ask for something."""

import asyncio
import resource

from uvicorn.protocols.http.h11_impl import H11Protocol

from torc_remote.builtin.server.http.doors import STRANGER

HEAD_SECONDS = 10
_MOST_CONNECTIONS = 10_000
# For the database, whose every reading thread opens it, and for what the interpreter needs.
_OTHER_FILES = 200


def raise_file_limit() -> None:
    """Let this process open as many files as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_CONNECTIONS + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class BoundedConnection(H11Protocol):
    """uvicorn's connection, with a time limit for a request's head, and room made when there are too many."""

    _late: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._wait()
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if len(self.connections) > min(max(soft - _OTHER_FILES, 16), _MOST_CONNECTIONS):
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Take a piece of a request."""
        super().data_received(data)
        self._since = self.loop.time()
        if self.is_answering:
            self._stop_waiting()
        elif self._late is None:
            self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next request, but not long for a stranger's."""
        super().on_response_complete()
        if self._is_stranger and not self.is_answering:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def is_answering(self) -> bool:
        """Whether a request is under way."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _is_stranger(self) -> bool:
        """Whether it has never asked for anything that it was given (see Doors)."""
        return self.cycle is None or STRANGER in self.cycle.scope

    @property
    def _is_idle(self) -> bool:
        return not self.is_answering and not self.transport.is_closing()

    def _wait(self) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _make_room(self) -> None:
        """Close some that are idle: first those that never asked for anything, then by how long ago they did."""
        idle = [one for one in self.connections if isinstance(one, BoundedConnection) and one._is_idle]
        idle.sort(key=lambda one: (not one._is_stranger, one._since))
        for one in idle[: max(1, len(idle) // 20)]:
            one.transport.close()
