"""`python -m edge_fer.lab ...` is `edge-fer lab ...`, for torchrun, which starts a module."""

import runpy
import sys

if __name__ == "__main__":
    sys.argv.insert(1, "lab")
    runpy.run_module("edge_fer", run_name="__main__", alter_sys=True)
