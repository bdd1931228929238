"""Support code of emitted modules: real Python and Triton, copied into them by name (`attnc/emit/support.py`).

Each file can be read, linted and tested by itself. Nothing here knows a spec, and no other part of attnc imports it.
"""
