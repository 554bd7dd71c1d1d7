"""The recurrent steps of the LSTM in training, compiled for the CPU (numba, AVX2, AVX-512, AMX) and for CUDA (Triton)."""
