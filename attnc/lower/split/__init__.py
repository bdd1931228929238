"""The split schedule, for few queries: programs share the keys of a tile, and what they leave of each row is merged."""
