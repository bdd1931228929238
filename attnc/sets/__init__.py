"""The integer heart: exact integer terms, what is provable about them, and which positions a mask lets through.

ir Int, Bool  --convert-->  Polynomial, Predicate  --solve-->  Pieces  --project-->  ends over a tile
"""
