"""The built-in server: torc's HTTP API over one SQLite file (``torc server run``)."""
