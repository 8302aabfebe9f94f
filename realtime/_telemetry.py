"""No program that paints somebody's camera reports to anybody.

From 1.29 on, onnxruntime's builds send to Microsoft what models are run and on what machine, unless
this is set before it is imported.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
