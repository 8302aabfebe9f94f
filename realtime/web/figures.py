"""The figures of a server as Prometheus reads them."""

from collections.abc import Mapping

from .house import House


def prometheus(house: House, counts: Mapping[str, int]) -> str:
    """Text of version 0.0.4; `counts` are gauges by name that the house does not know."""
    lines: list[str] = []

    def metric(name: str, kind: str, text: str, values: Mapping[str, float]) -> None:
        lines.extend((f"# HELP stylize_{name} {text}", f"# TYPE stylize_{name} {kind}"))
        lines.extend(f"stylize_{name}{labels} {value:g}" for labels, value in values.items())

    stats = {f'{{stream="{stream.name}"}}': stream.stats() for stream in house.streams()}
    for key, kind, text in (
        ("frames", "counter", "Frames painted."),
        ("dropped", "counter", "Frames replaced by newer ones before they were painted."),
        ("fps", "gauge", "Frames painted a second, lately."),
    ):
        name = f"{key}_total" if kind == "counter" else key
        metric(name, kind, text, {label: s[key] for label, s in stats.items()})
    latency = {}
    for label, figures in stats.items():
        for quantile, key in (("0.5", "latency_ms"), ("0.95", "latency_p95_ms")):
            latency[f'{label[:-1]},quantile="{quantile}"}}'] = figures[key] / 1000
    metric("latency_seconds", "gauge", "From a frame's arrival to its painting, lately.", latency)
    for name, value in counts.items():
        metric(name, "gauge", f"{name.replace('_', ' ').capitalize()} now.", {"": value})
    return "\n".join(lines) + "\n"
