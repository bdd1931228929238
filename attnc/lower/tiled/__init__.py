"""The tiled schedule: one program per tile of queries (forward, dQ) or of keys (dK/dV), bounds in closed form."""
