"""From a record to boxes and links, the content of a picture."""
