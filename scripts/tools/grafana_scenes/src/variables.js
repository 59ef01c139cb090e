// The variables of a dashboard's JSON as objects of @grafana/scenes.
import { ConstantVariable, CustomVariable, DataSourceVariable, IntervalVariable, QueryVariable, TextBoxVariable } from '@grafana/scenes';
import { chosen } from './asked.js';

function value(json) {
  const asked = chosen(json.name);
  if (asked) {
    return json.multi || asked.length > 1 ? asked : asked[0];
  }
  return json.current?.value;
}

function several(json) {
  const current = value(json);
  const all = { includeAll: Boolean(json.includeAll), allValue: json.allValue || undefined, defaultToAll: Boolean(json.includeAll) && current === undefined };
  return { ...all, isMulti: Boolean(json.multi), ...(current === undefined ? {} : { value: current, text: current }) };
}

const kinds = {
  query: (json, shared) => new QueryVariable({
    ...shared, ...several(json), query: json.query, datasource: json.datasource, regex: json.regex ?? '', sort: json.sort ?? 0,
    refresh: json.refresh || 1,
  }),
  datasource: (json, shared) => new DataSourceVariable({ ...shared, pluginId: json.query, regex: json.regex ?? '' }),
  custom: (json, shared) => new CustomVariable({ ...shared, ...several(json), query: json.query }),
  interval: (json, shared) => new IntervalVariable({
    ...shared, intervals: String(json.query).split(','), autoEnabled: json.auto ?? false, autoStepCount: json.auto_count ?? 30,
    autoMinInterval: json.auto_min ?? '10s', value: value(json) ?? String(json.query).split(',')[0],
  }),
  constant: (json, shared) => new ConstantVariable({ ...shared, value: json.query }),
  textbox: (json, shared) => new TextBoxVariable({ ...shared, value: value(json) ?? json.query ?? '' }),
};

export function variable(json) {
  const kind = kinds[json.type];
  if (!kind) {
    throw new Error(`variable ${json.name}: this page has no variables of type ${json.type}`);
  }
  return kind(json, { name: json.name, label: json.label, description: json.description, hide: json.hide ?? 0, skipUrlSync: true });
}
