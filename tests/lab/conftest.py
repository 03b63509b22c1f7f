"""Where the extra `lab` is not installed, the lab's tests are left out: most of their modules cannot be imported."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("litert_torch") else ["*/test_*.py"]
