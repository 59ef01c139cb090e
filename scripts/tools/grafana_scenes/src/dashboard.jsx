// A dashboard's JSON as a scene: time range, variables, annotations, the grid of rows and panels.
import React from 'react';
import { standardTransformersRegistry } from '@grafana/data';
import { LinkButton } from '@grafana/ui';
import {
  ControlsLabel, EmbeddedScene, SceneControlsSpacer, SceneDataLayerSet, SceneDataTransformer, SceneGridItem, SceneGridLayout,
  SceneGridRow, SceneObjectBase, SceneQueryRunner, SceneReactObject, SceneRefreshPicker, SceneTimePicker, SceneTimeRange, SceneVariableSet, VariableValueSelectors,
  VizPanel, dataLayers, sceneGraph,
} from '@grafana/scenes';
import { from, openRows, to } from './asked.js';
import { panels } from './panels/index.js';
import { variable } from './variables.js';
import { problems } from './watch.js';

function data(json) {
  const queries = new SceneQueryRunner({
    datasource: json.datasource, queries: json.targets, dataLayerFilter: { panelId: json.id }, minInterval: json.interval || undefined,
    ...(json.maxDataPoints ? { maxDataPoints: json.maxDataPoints } : { maxDataPointsFromWidth: true }),
  });
  return json.transformations?.length ? new SceneDataTransformer({ $data: queries, transformations: json.transformations }) : queries;
}

// What Grafana would pass over without a word.
function check(json) {
  const where = `panel "${json.title}"`;
  const plugin = panels[json.type];
  if (!plugin) {
    problems.push(`${where}: this page has no panel of type ${json.type}`);
    return;
  }
  for (const { properties } of json.fieldConfig?.overrides ?? []) {
    for (const { id } of properties.filter((property) => !plugin.fieldConfigRegistry.getIfExists(property.id))) {
      problems.push(`${where}: an override sets ${id}, which ${json.type} does not have`);
    }
  }
  for (const id of Object.keys(json.fieldConfig?.defaults?.custom ?? {})) {
    if (!plugin.fieldConfigRegistry.getIfExists(`custom.${id}`)) {
      problems.push(`${where}: custom.${id} is nothing that ${json.type} has`);
    }
  }
  for (const { id } of json.transformations ?? []) {
    if (!standardTransformersRegistry.getIfExists(id)) {
      problems.push(`${where}: transformation ${id} is not in @grafana/data`);
    }
  }
}

function cell(json) {
  check(json);
  const { x, y, w: width, h: height } = json.gridPos;
  const body = new VizPanel({
    key: `panel-${json.id}`, title: json.title ?? '', description: json.description, pluginId: json.type, options: json.options ?? {},
    fieldConfig: json.fieldConfig ?? { defaults: {}, overrides: [] }, displayMode: json.transparent ? 'transparent' : 'default',
    hoverHeader: !json.title, pluginVersion: '13.2.2',
    $timeRange: json.timeFrom ? new SceneTimeRange({ from: `now-${json.timeFrom}`, to: 'now', timeZone: 'utc' }) : undefined,
    $data: json.targets?.length ? data(json) : undefined,
  });
  return new SceneGridItem({ x, y, width, height, body, isDraggable: false, isResizable: false });
}

// Panels that follow an open row belong to it; a collapsed row carries its own.
function grid(jsons) {
  const children = [];
  let row;
  for (const json of [...jsons].sort((a, b) => a.gridPos.y - b.gridPos.y || a.gridPos.x - b.gridPos.x)) {
    if (json.type === 'row') {
      row = new SceneGridRow({
        title: json.title, isCollapsed: Boolean(json.collapsed), y: json.gridPos.y, isCollapsible: true, children: (json.panels ?? []).map(cell),
      });
      children.push(row);
    } else if (row && !row.state.isCollapsed) {
      row.setState({ children: [...row.state.children, cell(json)] });
    } else {
      children.push(cell(json));
    }
  }
  return new SceneGridLayout({ children, isDraggable: false, isResizable: false, isLazy: false });
}

function openAll(layout) {
  for (const row of layout.state.children.filter((child) => child instanceof SceneGridRow && child.state.isCollapsed)) {
    layout.toggleRow(row);
  }
}

// A switch for each annotation, under its own name.
class Switches extends SceneObjectBase {}
Switches.Component = ({ model }) => sceneGraph.getDataLayers(model)[0].state.layers.filter((layer) => !layer.state.isHidden).map((layer) => (
  <div key={layer.state.key} style={{ display: 'flex' }}><ControlsLabel label={layer.state.name} /><layer.Component model={layer} /></div>
));

const Links = ({ links }) => (
  <div style={{ display: 'flex', gap: 8 }}>
    {links.map((link) => <LinkButton key={link.title} size="md" variant="secondary" icon={link.type === 'dashboards' ? 'apps' : undefined} href="#">{link.title}</LinkButton>)}
  </div>
);

function annotations(list) {
  return list.filter((json) => !json.builtIn && json.enable !== false).map((json) =>
    new dataLayers.AnnotationsDataLayer({ key: `annotation-${json.name}`, name: json.name, query: json, isEnabled: true, isHidden: Boolean(json.hide) }));
}

export function scene(json) {
  const body = grid(json.panels ?? []);
  if (openRows) {
    openAll(body);
  }
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({ from: from ?? json.time?.from ?? 'now-6h', to: to ?? json.time?.to ?? 'now', timeZone: 'utc' }),
    $variables: new SceneVariableSet({ variables: (json.templating?.list ?? []).map(variable) }),
    $data: new SceneDataLayerSet({ layers: annotations(json.annotations?.list ?? []) }),
    controls: [
      new VariableValueSelectors({}), new Switches({}), new SceneControlsSpacer(),
      new SceneReactObject({ component: Links, props: { links: json.links ?? [] } }),
    ],
    // Shown beside the title. It never refreshes by itself: a picture is of one moment.
    clock: [new SceneTimePicker({ isOnCanvas: true }), new SceneRefreshPicker({ isOnCanvas: true, refresh: '' })],
    body,
  });
}
