"""Drawing a record."""
