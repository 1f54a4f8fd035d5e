"""The engine without Numba, and the one for CUDA: programs run as batches of torch tensors."""
