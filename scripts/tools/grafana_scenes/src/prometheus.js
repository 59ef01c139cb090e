// A data source that asks a Prometheus as Grafana's own does: same interpolation, same steps, same shape of frames.
import { rangeUtil } from '@grafana/data';
import { RuntimeDataSource, sceneGraph } from '@grafana/scenes';
import { prometheusUrl, scrape } from './asked.js';
import { seriesFrames, tableFrame } from './frames.js';
import { annotationEvents } from './annotations.js';
import { note, problems } from './watch.js';

export const UID = 'prometheus';
const MOST_POINTS = 11000;

const plain = (value) => String(value).replace(/\\/g, '\\\\').replace(/"/g, '\\"');
const pattern = (value) => String(value).replace(/\\/g, '\\\\\\\\').replace(/[$^*{}[\]'+?.()|]/g, '\\\\$&');

// How a variable's value stands in PromQL: as text, or as one regular expression where several can be chosen.
export function inPromQL(value, variable) {
  if (!variable.multi && !variable.includeAll) {
    return plain(value);
  }
  const values = Array.isArray(value) ? value : [value];
  return values.length === 1 ? pattern(values[0]) : `(${values.map(pattern).join('|')})`;
}

async function ask(path, parameters) {
  const answer = await fetch(`${prometheusUrl}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const body = await answer.json();
  if (body.status !== 'success') {
    throw new Error(`${body.errorType}: ${body.error}`);
  }
  return body.data;
}

function scoped(name, text) {
  return { [name]: { text: String(text), value: String(text) } };
}

// $__rate_interval and $__range*, and what Grafana makes of the time range; all in seconds.
function timing(request, target) {
  const from = request.range.from.valueOf() / 1000;
  const to = request.range.to.valueOf() / 1000;
  const least = rangeUtil.intervalToSeconds(target.interval || scrape);
  const step = Math.max(request.intervalMs / 1000, least, Math.ceil((to - from) / MOST_POINTS), 1);
  const every = rangeUtil.intervalToSeconds(scrape);
  const range = Math.round(to - from);
  return {
    from, to, step,
    variables: {
      ...scoped('__interval', rangeUtil.secondsToHms(step)),
      ...scoped('__interval_ms', step * 1000),
      ...scoped('__rate_interval', `${Math.max(step + every, 4 * every)}s`),
      ...scoped('__range', `${range}s`),
      ...scoped('__range_s', range),
      ...scoped('__range_ms', range * 1000),
    },
  };
}

export class Prometheus extends RuntimeDataSource {
  constructor() {
    super('prometheus', UID);
    this.name = 'Prometheus';
    this.interval = scrape;
    this.root = undefined;
  }

  async query(request) {
    const asker = request.scopedVars.__sceneObject.value.valueOf();
    const targets = request.targets.filter((target) => !target.hide && target.expr);
    const answers = await Promise.all(targets.map((target) => this.answer(request, target, asker)));
    const tables = answers.filter((answer) => answer.table);
    return {
      data: answers.flatMap(({ target, table, results, step }) =>
        table ? [tableFrame(target, results, tables.length > 1)] : seriesFrames(target, results, step)),
      errors: answers.flatMap(({ target, error }) => (error ? [{ message: error, refId: target.refId }] : [])),
    };
  }

  async answer(request, target, asker) {
    const { from, to, step, variables } = timing(request, target);
    const expr = sceneGraph.interpolate(asker, target.expr, { ...request.scopedVars, ...variables }, inPromQL);
    const begun = performance.now();
    const answer = { target, step, table: target.format === 'table', results: [], error: undefined };
    try {
      if (target.instant) {
        answer.results.push(await ask('query', { query: expr, time: to }));
      }
      if (target.range ?? !target.instant) {
        const [start, end] = [Math.floor(from / step) * step, Math.floor(to / step) * step];
        answer.results.push(await ask('query_range', { query: expr, start, end, step }));
      }
    } catch (error) {
      answer.error = `${target.refId}: ${error.message}`;
    }
    const series = answer.results.reduce((sum, result) => sum + (result.result?.length ?? 0), 0);
    note(asker, { refId: target.refId, expr, step, series, ms: performance.now() - begun, error: answer.error });
    return answer;
  }

  async metricFindQuery(query, options) {
    const text = typeof query === 'string' ? query : query.query;
    const variable = options.scopedVars.__sceneObject.value.valueOf();
    const { from, to, variables } = timing({ ...options, intervalMs: 0 }, {});
    const asked = sceneGraph.interpolate(variable, text, variables, inPromQL).trim();
    const limits = { start: Math.floor(from), end: Math.ceil(to) };
    const values = /^label_values\((?:(.+),\s*)?([a-zA-Z_][\w]*)\s*\)$/s.exec(asked);
    if (values) {
      const match = values[1] ? { 'match[]': values[1].trim() } : {};
      return (await ask(`label/${values[2]}/values`, { ...limits, ...match })).map((value) => ({ text: value }));
    }
    const result = /^query_result\((.+)\)$/s.exec(asked);
    if (result) {
      const found = (await ask('query', { query: result[1], time: to })).result;
      return found.map(({ metric, value }) => {
        const { __name__: name = '', ...labels } = metric;
        const inside = Object.entries(labels).map(([key, label]) => `${key}="${label}"`).join(',');
        return { text: `${name}{${inside}} ${value[1]} ${value[0] * 1000}` };
      });
    }
    throw new Error(`variable ${variable.state.name}: this page knows label_values and query_result, not ${text}`);
  }

  async annotationQuery({ range, annotation }) {
    const target = annotation.target?.expr ? annotation.target : annotation;
    const width = { range, intervalMs: rangeUtil.calculateInterval(range, 1500, scrape).intervalMs };
    const { from, to, step, variables } = timing(width, { interval: annotation.step || target.interval || '60s' });
    const expr = sceneGraph.interpolate(this.root, target.expr, variables, inPromQL);
    const [start, end] = [Math.floor(from / step) * step, Math.floor(to / step) * step];
    try {
      return annotationEvents(annotation, (await ask('query_range', { query: expr, start, end, step })).result, step);
    } catch (error) {
      problems.push(`annotation ${annotation.name}: ${error.message}`);
      return [];
    }
  }

  getRef() {
    return { type: 'prometheus', uid: UID };
  }
}
