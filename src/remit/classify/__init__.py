"""What tools do, proposed from their names, descriptions, schemas and annotations.

Deterministic, with the reason for each proposal. ``classes`` reads one tool, ``writing`` makes a
policy document of all of them, which a person then reviews. What is not understood gets the worst
class. Pure.
"""
