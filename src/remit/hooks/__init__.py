"""Coding agents: what their hooks ask, decided like any other call.

``remit hook NAME`` is started by the agent's host for each tool call. It is kept small: ``thin``
and ``answers`` need nothing but the standard library, and pass the question on to a server that
runs; where none does, ``embedded`` decides in the same process. Importing this package imports
none of that.
"""
