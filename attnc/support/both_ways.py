"""Linear attention where a query sees the keys of its document on both sides: two passes from chunk to chunk.

One takes the keys up to the query, the other goes back from the last token and takes those behind it. Copied by name;
it knows nothing of any spec.
"""

from attnc.support.chunks import _chunked_backward_cpu, _chunked_forward_cpu


def _both_ways_forward(f, g, v, of_queries, of_keys, with_sums):
    """As `_chunked_forward`, over all keys of a document, whose tokens stand together."""
    out, sums = _chunked_forward_cpu(f, g, v, None, of_queries, of_keys, 0, with_sums)
    behind = (*_turned(f, g, v, of_queries, of_keys), with_sums)
    later, more = _chunked_forward_cpu(*behind)
    return out + later.flip(2), sums + more.flip(2) if with_sums else None


def _both_ways_backward(dout, dsums, f, g, v, of_queries, of_keys):
    """Gradients of f, g and v, in a wide dtype."""
    ahead = _chunked_backward_cpu(dout, dsums, f, g, v, None, of_queries, of_keys, 0)
    dout, dsums = dout.flip(2), None if dsums is None else dsums.flip(2)
    behind = _turned(f, g, v, of_queries, of_keys)
    back = _chunked_backward_cpu(dout, dsums, *behind)
    return tuple(one + two.flip(2) for one, two in zip(ahead[:3], back))


def _turned(f, g, v, of_queries, of_keys):
    """The same tokens from the last to the first, without steps: a query sees those keys that come before its own."""
    f, g, v = (x.flip(2) for x in (f, g, v))
    return f, g, v, None, of_queries.flip(1), of_keys.flip(1), g.shape[2] - f.shape[2] - 1
