"""A recorded step as a compiled loop: `record`, `optimise`, `split`, and a file a backend."""
