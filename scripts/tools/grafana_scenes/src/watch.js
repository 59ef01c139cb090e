// What a test or a person with the console may ask: window.orcha.settled(), .panels(), .variables(), .problems.
import { LoadingState } from '@grafana/data';
import { SceneGridRow, SceneQueryRunner, VizPanel, sceneGraph } from '@grafana/scenes';

const queries = new Map();
export const problems = [];

// The data source tells what each query was and gave; `asker` is the query runner of one panel.
export function note(asker, query) {
  queries.set(asker, { ...queries.get(asker), [query.refId]: query });
}

// In a collapsed row: nothing is asked or drawn.
function isHidden(panel) {
  const row = panel.parent?.parent;
  return row instanceof SceneGridRow && row.state.isCollapsed;
}

function panelsOf(scene) {
  return sceneGraph.findAllObjects(scene, (object) => object instanceof VizPanel && !isHidden(object));
}

function runnerOf(panel) {
  return sceneGraph.findDescendents(panel, SceneQueryRunner)[0];
}

const isShown = (value) => (typeof value === 'number' ? Number.isFinite(value) : value !== null && value !== undefined && value !== '');

// A number that is none (NaN) is nothing to see.
function hasValues(series) {
  return series.some((frame) => frame.fields.some((field) => field.type !== 'time' && field.values.some(isShown)));
}

function isBusy(panel) {
  if (!panel.getPlugin()) {
    return true;
  }
  return panel.state.$data !== undefined && ![LoadingState.Done, LoadingState.Error].includes(sceneGraph.getData(panel).state.data?.state);
}

const boxOf = (panel) => document.querySelector(`[data-viz-panel-key="${panel.state.key}"]`);

// Not only has it its data: there is something to see, words, rows, or for a graph its plot.
function isDrawn(panel) {
  if (panel.state._pluginLoadError) {
    return true;
  }
  const content = boxOf(panel)?.querySelector('[data-testid="data-testid panel content"]');
  const grid = content?.querySelector('[role="grid"]');
  if (grid) {
    return grid.querySelectorAll('[role="row"]').length > 1;
  }
  return Boolean(content && (content.innerText.trim() || (panel.state.pluginId === 'timeseries' && content.querySelector('canvas'))));
}

function describe(panel) {
  const { data } = panel.state.$data ? sceneGraph.getData(panel).state : {};
  const asked = Object.values(queries.get(runnerOf(panel)) ?? {});
  const errors = [...(data?.errors ?? []), ...(data?.error ? [data.error] : [])].map((error) => error.message);
  if (panel.state._pluginLoadError) {
    errors.push(panel.state._pluginLoadError);
  }
  const box = boxOf(panel);
  const alert = box?.querySelector('[data-testid="data-testid Alert error"]');
  if (alert) {
    errors.push(`it fell over: ${alert.textContent}`);
  }
  const empty = panel.state.$data !== undefined && !hasValues(data?.series ?? []);
  return {
    title: sceneGraph.interpolate(panel, panel.state.title),
    type: panel.state.pluginId,
    state: errors.length ? 'error' : empty ? 'nodata' : 'done',
    errors: [...new Set(errors)],
    shows: box?.innerText ?? null,
    series: data?.series?.length ?? 0,
    queries: asked.map(({ refId, expr, series, ms, step }) => ({ refId, expr, series, step, ms: Math.round(ms) })),
    ms: Math.round(Math.max(0, ...asked.map(({ ms }) => ms))),
  };
}

export function watch(scene) {
  const variables = () => scene.state.$variables?.state.variables ?? [];
  const annotations = () => scene.state.$data?.state.layers ?? [];
  const unanswered = () => [
    ...variables().filter((variable) => variable.state.loading).map((variable) => `variable ${variable.state.name}`),
    ...annotations().filter((layer) => !layer.state.data).map((layer) => `annotation ${layer.state.name}`),
    ...panelsOf(scene).filter(isBusy).map((panel) => `data of ${panel.state.title}`),
  ];
  const undrawn = () => panelsOf(scene).filter((panel) => !isDrawn(panel)).map((panel) => `drawing of ${panel.state.title}`);
  window.orcha = {
    problems,
    busy: () => [...unanswered(), ...undrawn()],
    answered: () => scene.isActive && unanswered().length === 0,
    settled: () => scene.isActive && unanswered().length === 0 && undrawn().length === 0,
    panels: () => panelsOf(scene).map(describe),
    variables: () => Object.fromEntries(variables().map(({ state: { name, value, error, options } }) =>
      [name, { value, error: error ? String(error.message ?? error) : null, options: options?.length ?? null }])),
  };
}
