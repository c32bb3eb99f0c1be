"""What a reply is worth: one file a kind of benchmark.

A scorer reads a reply (as VLMEvalKit does, or as `reading` does), compares it with the truth, and
says which figures the verdicts make. `profiles` puts the two together.
"""
