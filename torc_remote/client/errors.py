"""What can go wrong between us and a torc server."""

from torc_remote.errors import TorcError


class ServerError(TorcError):
    """The server couldn't be reached, or what came back was not torc's API."""


class ApiError(TorcError):
    """The server answered with an error; ``status`` is the HTTP status, the text says what it told us."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
