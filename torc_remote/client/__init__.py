"""Access to a torc server: settings, session, models."""
