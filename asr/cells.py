"""Names of the recurrent cells, readable without torch; `asr/nn/rnn.py` holds the layer of each name."""

from typing import Literal, get_args

Cell = Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]
CELLS: tuple[Cell, ...] = get_args(Cell)
