"""Where the extra `lab` is not installed, the modules that cannot even be imported are left out."""

from importlib.util import find_spec

NEED_TORCH = [
    "explain/test_explain.py",
    "export/test_classifier.py",
    "export/test_mtcnn.py",
    "export/test_onnx.py",
    "export/test_quantize.py",
    "networks/test_mobilenet_v1.py",
    "networks/test_networks.py",
    "networks/test_se_resnet50_keras.py",
    "networks/test_seam.py",
    "training/test_loop.py",
    "training/test_thesis.py",
    "weights/test_tflite.py",
]

collect_ignore = [] if find_spec("litert_torch") else NEED_TORCH
