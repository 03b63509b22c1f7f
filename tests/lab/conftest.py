"""Where the extra `lab` is not installed, the modules that cannot even be imported are left out."""

from importlib.util import find_spec

NEED_TORCH = ["test_networks.py", "test_rules.py", "test_export.py", "test_train.py", "test_vggface.py"]

collect_ignore = [] if find_spec("litert_torch") else NEED_TORCH
