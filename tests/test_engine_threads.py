"""Engines that are loaded on one thread and closed on another."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys, threading
import numpy as np
from stylize_video.realtime import EngineRequest, find_style, load_engine

engines = [load_engine(find_style(sys.argv[1]), EngineRequest(sys.argv[2], threads=2))]
engines[0].paint(np.zeros((64, 64, 3), np.uint8))
closer = threading.Thread(target=lambda: engines.pop().close())
closer.start()
closer.join()
try:
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(20)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("engine", ["cpu", "openvino"])
def test_ctrl_c_is_an_exception_after_a_network_was_closed_elsewhere(
    engine: str, identity: Path
) -> None:
    """OpenVINO left the thread a signal stack that was gone, and the process died of the signal."""
    command = [sys.executable, "-c", SCRIPT, str(identity), engine]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stdout) == (0, "interrupted\n"), run.stderr
