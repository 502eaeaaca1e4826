"""The database: one file, one writer at a time, rows as records."""
