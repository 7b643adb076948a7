#!/usr/bin/env bash
# With the wheel and its extra `demo`: every command, in an empty folder. Templates have to be there.
set -euo pipefail
tinygrad-rnn --version
tinygrad-rnn cells lstm > /dev/null
tinygrad-rnn doctor --quick > /dev/null
tinygrad-rnn draw --cell gru --steps 2 -o gru.pdf
tinygrad-rnn draw --cell gru --steps 2 -o gru.html
tinygrad-rnn study --cell elman --steps 4
tinygrad-rnn demo --steps 20 > /dev/null
tinygrad-rnn sample demo/model.safetensors --length 10 > /dev/null
for page in report/index.html demo/index.html; do
  test "$(grep -c '</html>' $page)" = 1
done
