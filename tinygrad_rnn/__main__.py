"""`python -m tinygrad_rnn` is the command `tinygrad-rnn`."""

from .cli import main

main()
