"""The chunked schedule: linear attention by a state that goes from chunk to chunk (ADR 0031)."""
