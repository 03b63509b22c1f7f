"""Where the extra `lab` is not installed, the modules that cannot even be imported are left out."""

from importlib.util import find_spec

NEED_TORCH = [
    "test_explain.py",
    "test_export.py",
    "test_export_mtcnn.py",
    "test_networks.py",
    "test_quantize.py",
    "test_rules.py",
    "test_teach.py",
    "test_thesis.py",
    "test_train.py",
    "test_vggface.py",
    "test_warmstart.py",
]

collect_ignore = [] if find_spec("litert_torch") else NEED_TORCH
