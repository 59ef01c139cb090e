// The panel types that dashboards may have, by the name that the JSON gives them.
import { sceneUtils } from '@grafana/scenes';
import { nodeGraph } from './nodegraph.jsx';
import { table } from './table.jsx';
import { text } from './text.jsx';
import { timeseries } from './timeseries.jsx';
import { bargauge, gauge, stat } from './values.jsx';

export const panels = { bargauge, gauge, nodeGraph, stat, table, text, timeseries };

export function registerPanels() {
  for (const [pluginId, plugin] of Object.entries(panels)) {
    sceneUtils.registerRuntimePanelPlugin({ pluginId, plugin });
  }
}
