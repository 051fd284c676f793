"""The demo: one scripted agent, hijacked in the ways of real incidents, with and without Remit.

    world.py   a shop in a folder: SQLite database, files, three loopback HTTP services
    agent.py   the script: what the agent does, step by step, whoever watches
    stage.py   plays the script, bare or behind a ``Guard``, and notes what became of each call
    tamper.py  alters and truncates copies of an exported log
    story.py   everything in order, and what must be true at the end

It uses what a user has: ``from remit import Guard`` and the ``remit`` command.
"""

from remit.demo.story import Story, tell

__all__ = ["Story", "tell"]
