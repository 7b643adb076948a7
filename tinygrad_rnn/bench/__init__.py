"""Measurements against other libraries: the command `tinygrad-rnn bench`."""
