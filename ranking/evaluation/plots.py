"""The evaluation as one picture: NDCG@10 of every model with its interval, a panel a protocol."""

from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ranking.evaluation.report_types import HYBRID, WITHOUT, ProtocolReport, Report

# Okabe and Ito (2008): told apart with every kind of colour vision; the hybrid is also set off by its marker.
OURS: Final = "#D55E00"
OTHERS: Final = "#0072B2"
INK: Final = "#333333"


def plot(report: Report, folder: Path) -> list[Path]:
    """Write evaluation.svg and evaluation.png into an existing folder; ablations are left to the table."""
    protocols = report["protocols"]
    rows = max((len(_shown(protocol)) for protocol in protocols.values()), default=0)
    figure = Figure(figsize=(4.2 * max(len(protocols), 1), 1.2 + 0.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for column, (name, protocol) in enumerate(protocols.items()):
        _panel(figure.add_subplot(1, len(protocols), column + 1), name, protocol)
    figure.suptitle(f"{report['dataset']}: NDCG@10 with 95 % intervals", color=INK, fontsize=11)
    written = [folder / "evaluation.svg", folder / "evaluation.png"]
    for path in written:
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    return written


def _shown(protocol: ProtocolReport) -> list[str]:
    """Models, worst first, as a horizontal axis draws from below."""
    models = protocol["models"]
    return sorted((name for name in models if not name.startswith(WITHOUT)), key=lambda name: models[name]["ndcg@10"])


def _panel(axes: Axes, name: str, protocol: ProtocolReport) -> None:
    shown = _shown(protocol)
    for height, model in enumerate(shown):
        found = protocol["models"][model]
        low, high = found["ci95"]["ndcg@10"]
        colour, marker = (OURS, "D") if model == HYBRID else (OTHERS, "o")
        axes.plot([low, high], [height, height], color=colour, linewidth=2, alpha=0.5, solid_capstyle="round")
        axes.plot(found["ndcg@10"], height, marker=marker, color=colour, markersize=6)
    axes.set_yticks(range(len(shown)), shown)
    axes.set_xlim(left=0)
    axes.set_title(f"{name.upper()}: {protocol['split']['rule']} ({protocol['users']:,} users)", fontsize=9, color=INK)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
