"""Charts as PNG files. One colour for one server in all of them."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.report import Bars, Lines

_COLORS = {
    "nginx": "#7f7f7f",
    "Go ReverseProxy": "#17becf",
    "Sluice": "#d62728",
    "Sluice's simulator": "#ff9896",
    "gevent generator": "#1f77b4",
    "Starlette + httpx": "#2ca02c",
    "sse-starlette + httpx": "#98df8a",
}


def draw(chart: Lines | Bars, folder: Path) -> None:
    """Writes ``folder/NAME.png``."""
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    if isinstance(chart, Lines):
        for name, values in chart.series.items():
            axes.plot(chart.x, values, marker="o", label=name, color=_COLORS.get(name))
        axes.set_xscale("log")
        axes.set_xticks(chart.x, [f"{value:g}" for value in chart.x], minor=False)
        axes.minorticks_off()
        axes.set_xlabel(chart.x_label)
        axes.legend(frameon=False)
    else:
        names = list(chart.values)
        bars = axes.barh(names, list(chart.values.values()), color=[_COLORS.get(n) for n in names])
        axes.bar_label(bars, fmt="%.3g", padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.12)
    (axes.set_xlabel if isinstance(chart, Bars) else axes.set_ylabel)(chart.y_label)
    if isinstance(chart, Lines):
        axes.set_ylim(bottom=0)
    axes.set_title(chart.title, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / f"{chart.name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)
