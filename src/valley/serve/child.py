"""The engine process that runs the model with the local engine."""

from __future__ import annotations

from typing import Any

from valley.engine.local import LocalEngine
from valley.serve.engine_process import main
from valley.serve.scheduler import Scheduler


def load(options: dict[str, Any]) -> Scheduler:
    engine = LocalEngine.from_checkpoint(options["directory"], options["device"], options["dtype"])
    return Scheduler(engine)


if __name__ == "__main__":
    main(load)
