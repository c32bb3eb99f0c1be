"""An OpenAI-compatible server: a front process without torch and an engine process behind it.

Front: `run` and `app` put it together, `settings` what may be set. A request passes `guard` (who
may ask), `rate`, `room` and `exchange` (how much), `schemas` (its shape), `routes`, `front` (what
they do), `admission` and `media` (a body checked and planned), `supervisor` (the engine process
kept alive); its answer `channels` (thinking told apart), `completion`, `answers` (its shape),
`streams`. Errors are those of `errors` and `failures`, numbers those of `metrics`. `page/` is the
web page.

Engine process: `engine_process` its loop, `preparing` media opened ahead, `jobs` what it has to
do, `reply` tokens into text; `child` and `scheduler` run the local engine, `vllm_child` and
`vllm_scheduler` vLLM's. `wire` is what the two processes say to each other.
"""
