"""From manifests to the normalized VM: pure functions, one module per concept, which raise for no input.

There are two steps. `*_facts` reads a manifest into the little that must be kept of it (about a kilobyte). `join_*`
makes the state from the facts of all its objects. A bad value becomes None and a sentence in `problems`.
"""
