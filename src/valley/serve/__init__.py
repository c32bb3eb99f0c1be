"""An OpenAI-compatible server: a front process without torch and an engine process behind it.

Front: `settings` what may be set, `guard` who may ask and how much, `schemas` what the API speaks,
`app` the routes, `front` what they do, `room` how much may be open, `admission` a body checked and
planned, `completion` replies as the API writes them, `channels` thinking and answer told apart,
`supervisor` the engine process kept alive, `metrics`, `errors`, `run`; `page/` is the web page.
Engine process: `child`, `preparing` media opened ahead, `scheduler` many requests over one model,
`reply` tokens into text. `wire` is what the two say to each other.
"""
