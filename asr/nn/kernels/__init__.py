"""Compiled code of training: the recurrent steps of the LSTM (numba, LLVM; Triton) and the lattice of the transducer.

This file imports nothing, so that `asr/nn/lstm.py` can decide without a compiler whether the steps run.
"""

LANES = 16  # hidden units that the CPU steps compute at once: 512 bits of float32; smaller vector units split them
