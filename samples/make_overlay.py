"""Draws overlay.jpg: what OBS makes of the overlay of `stylize serve`.

    python samples/make_overlay.py

A browser without a window opens the page as OBS does, transparent and 960 pixels wide, while the
sample clip is painted inside a mask; the picture is then laid over a scene. Needs Chromium and
Playwright.
"""

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from browser import CHROMIUM, serving  # noqa: E402 - from the tests' folder

SIZE = (960, 540)


def main() -> None:
    from playwright.sync_api import sync_playwright

    width, height = SIZE
    mask = np.zeros((height, width, 3), np.uint8)
    cv2.ellipse(
        mask, (width // 2, height // 2), (width * 3 // 8, height * 3 // 8), 0, 0, 360,
        (255, 255, 255), -1, cv2.LINE_AA,
    )  # fmt: skip
    scene = cv2.resize(cv2.imread(str(HERE / "hills.jpg")), SIZE, interpolation=cv2.INTER_AREA)
    with tempfile.TemporaryDirectory() as folder:
        mask_file = Path(folder) / "mask.png"
        cv2.imwrite(str(mask_file), cv2.GaussianBlur(mask, (0, 0), 8))
        source = ("--source", str(HERE / "walk.mp4"), "--loop", "--style", "wave")
        with serving(*source, "--mask", str(mask_file)) as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(f"{server.url}/overlay?w={width}&h={height}", wait_until="commit")
            time.sleep(4)
            shot = page.screenshot(omit_background=True)
            browser.close()
    over = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_UNCHANGED)
    share = over[..., 3:].astype(np.float32) / 255
    shown = np.rint(scene + share * (over[..., :3].astype(np.float32) - scene)).astype(np.uint8)
    cv2.imwrite(str(HERE / "overlay.jpg"), shown, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
