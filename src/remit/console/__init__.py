"""The console: pages for the people around the agents, as a part of ``remit serve``.

Views are routes like those of the API (``Route``, ``Call``, ``Reply``): they read through the store
and act through the governor. There is no SQL and no policy logic in them. ``mount`` is what knows
HTTP: it signs visitors in by cookie, refuses what other sites send, and sets the headers.
"""
