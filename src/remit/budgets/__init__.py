"""How often and how much: limits on call frequency, money, tokens, calls and time.

``rates`` smooths call frequency (GCRA); ``limits`` are budgets as policy states them; ``periods``
finds the window that a moment is in; ``cells`` is the ledger's arithmetic: hold the worst case,
charge what was used, give back the rest. Pure, in exact integers.
"""
