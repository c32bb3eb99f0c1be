"""Import every module of the installed package; run where only base dependencies are installed."""

import importlib
import pkgutil
import sys

import valley

#: Modules that need more than the base dependencies, and what their import asks for.
EXTRAS: dict[str, str] = dict.fromkeys(
    (
        *(f"valley.vllm_plugin.{name}" for name in ("chat", "model", "pictures", "requests")),
        *("valley.serve.vllm_child", "valley.serve.vllm_scheduler"),
    ),
    "vllm",
)


def main() -> None:
    names = [module.name for module in pkgutil.walk_packages(valley.__path__, "valley.")]
    for name in names:
        if name != "valley.__main__" and name not in EXTRAS:
            importlib.import_module(name)
    print(f"{len(names)} modules import")


if __name__ == "__main__":
    sys.exit(main())
