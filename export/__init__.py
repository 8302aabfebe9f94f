"""Make styles: train them from a painting, and put them into files that painting runs from."""

import os

# onnxruntime reports what is run to Microsoft otherwise
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
