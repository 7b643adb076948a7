"""From a record to boxes and links: what a picture shows."""
