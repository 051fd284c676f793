"""What is inside a text or a tool's description that a person would want to know of.

Pure and deterministic: values in, ``model.Finding`` out. Nothing here allows anything; what is
found are facts for rules, and can only add caution. Import from the module that names the thing:
``encodings`` reads what is written in another form, ``signs`` lists what is looked for, ``inspect``
looks, ``tools`` looks at lists of tools, ``pins`` says what has changed in them.
"""
