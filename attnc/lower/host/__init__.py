"""The program of the host: what runs beside the kernels and calls them, the same for every schedule."""
