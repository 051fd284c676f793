"""Adapters: agent frameworks under Remit, one module for each. Import it by its name.

    from remit.adapters import langchain

None of the frameworks is a dependency: a module asks for its framework when it is imported.
What each of them can do is declared in ``declared``; ``remit adapters`` shows that.
"""
