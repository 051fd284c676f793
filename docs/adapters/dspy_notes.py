"""A program of DSPy that may read notes, under Remit."""

import dspy

from remit.adapters.dspy import govern


def notes_program(tools, guard):
    """Make the program. Programs that its tools run are governed with it."""
    return govern(dspy.ReAct("question -> answer", tools=tools), guard)


def ask(program, question):
    """Run it; call this in ``with guard.session(agent="notes-bot", user="ada"):``."""
    return program(question=question).answer
