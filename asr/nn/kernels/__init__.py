"""The recurrent steps of the LSTM in training, compiled for the CPU (numba, LLVM) and for CUDA (Triton)."""
