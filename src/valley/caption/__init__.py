"""Structured work in bulk: pictures, clips and product records to verdicts, a JSON line each.

`products`: what is looked at. `task`: what is asked about each. `verdicts`: replies checked, asked
again, labels weighed. `running`: every verdict kept as it comes, going on after a kill. `command`:
what `valley caption` does.
"""
