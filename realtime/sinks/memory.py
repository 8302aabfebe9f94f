"""A sink that keeps everything in memory: for tests and for programs that embed the pipeline."""

from ..frame import Frame, SidePacket


class MemorySink:
    """Collects what it is given in `frames` and `packets`."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.packets: list[SidePacket] = []
        self.finished = False

    def write(self, item: Frame | SidePacket) -> None:
        """Keep one frame or packet."""
        if isinstance(item, Frame):
            self.frames.append(item)
        else:
            self.packets.append(item)

    def finish(self) -> str:
        """Mark the run as whole."""
        self.finished = True
        return "memory"

    def abandon(self) -> str | None:
        """What came stays in `frames`."""
        return "memory" if self.frames else None
