"""Where the pieces of a sweep are evaluated.

An engine is a function `(plan, wanted, tell) -> (position, trace)...`; `sweep.plan.local` is the plain one. `folder`
keeps every piece as a file that any process may fill (`--resume`, `--shard`, `nllcheck merge`), `ray` hands pieces to
the workers of a cluster. They are alike in what they give back, byte for byte.
"""
