"""Evaluation on the published benchmarks: run, score, report.

    table -> items -> prompts -> replies (any engine) -> verdicts -> figures -> report

`items`: what all parts speak. `benchmarks`: the sets, as data. `tables`: their files. `prompts`:
how each line asks. `runner`: replies, kept as they come. `scorers`, `profiles`: what a reply is
worth. `statistics`, `report`: figures with their intervals, and pages people read.
"""
