"""The source that polls no node: it asks a Prometheus for what orcha-exporter showed of them (docs/prometheus-source.md).

    exporters ──/metrics──▶ Prometheus ──asking──▶ rows ──hearing──▶ Readings ──source──▶ Observation
                                                    └──────backfill (controller/backfill.py)──▶ History

asking     HTTP, bounded in time and size; every failure has its name (exporters/errors.py)
answers    Prometheus' JSON -> rows; pure
hearing    rows -> Readings, or why they cannot be believed; pure. Bandwidth is bytes per second in metrics and bits per
           second in Readings: it is multiplied by 8 there, as exporters/figures.py divides it
source     when what is asked, and what is told to the loop
"""

from controller.observe.prometheus.asking import Asking
from controller.observe.prometheus.source import AtOnce, FromPrometheus

__all__ = ["Asking", "AtOnce", "FromPrometheus"]
