"""The program in this process: what tests of it share."""

from collections.abc import Callable

from stylize_video.realtime import cli

Run = Callable[..., int]


def run_with(*options: object) -> Run:
    """`stylize video`, or another command of it, with these options behind what it is given."""

    def run(*arguments: object, command: str = "video") -> int:
        return cli.run([command, *(str(a) for a in (*arguments, *options))])

    return run
