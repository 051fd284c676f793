"""JSON as Remit trusts it: checked once at the edge, and one canonical form for hashing.

``check`` turns whatever a caller passed into a plain JSON value or says what is wrong with which
argument. ``encode`` gives the canonical bytes of RFC 8785, except that integers of any size keep
their exact digits. No I/O.
"""
