// Prometheus' answers as Grafana's data frames: one frame for each series, or one table for each query.
import { FieldType, toDataFrame } from '@grafana/data';

const number = (text) => (text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : Number(text));
const byName = ([a], [b]) => (a < b ? -1 : 1);

function fullName(metric) {
  const { __name__: name = '', ...labels } = metric;
  const inside = Object.entries(labels).sort(byName).map(([label, value]) => `${label}="${value}"`).join(', ');
  return inside ? `${name}{${inside}}` : name;
}

export function fill(template, labels) {
  return template.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label) => labels[label] ?? '');
}

function legend(target, metric) {
  const wanted = target.legendFormat ?? '';
  if (wanted === '__auto') {
    return Object.keys(metric).length ? undefined : target.expr;
  }
  return (wanted ? fill(wanted, metric) : fullName(metric)) || target.expr;
}

// Rows of [metric, seconds, value]; a scalar has no labels.
function rows(result) {
  if (result.resultType === 'scalar') {
    return [{ metric: {}, values: [result.result] }];
  }
  return result.result.map(({ metric, value, values }) => ({ metric, values: values ?? [value] }));
}

export function seriesFrames(target, results, step) {
  return results.flatMap((result) =>
    rows(result).map(({ metric, values }) => {
      const { __name__: name, ...labels } = metric;
      const isRange = result.resultType === 'matrix';
      return toDataFrame({
        refId: target.refId,
        meta: { type: isRange ? 'timeseries-multi' : 'numeric-multi' },
        fields: [
          {
            name: 'Time', type: FieldType.time, values: values.map(([at]) => at * 1000),
            config: isRange ? { interval: step * 1000 } : {},
          },
          {
            name: target.legendFormat === '__auto' ? name ?? 'Value' : 'Value', type: FieldType.number, labels,
            values: values.map(([, value]) => number(value)), config: { displayNameFromDS: legend(target, metric) },
          },
        ],
      });
    }));
}

export function tableFrame(target, results, several) {
  const lines = results.flatMap(rows).flatMap(({ metric, values }) => values.map(([at, value]) => ({ metric, at, value })));
  const labels = [...new Set(lines.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return toDataFrame({
    refId: target.refId,
    meta: { preferredVisualisationType: 'table' },
    fields: [
      { name: 'Time', type: FieldType.time, values: lines.map(({ at }) => at * 1000), config: {} },
      ...labels.map((label) => ({
        name: label, type: FieldType.string, values: lines.map(({ metric }) => metric[label] ?? ''), config: { filterable: true },
      })),
      {
        name: several ? `Value #${target.refId}` : 'Value', type: FieldType.number,
        values: lines.map(({ value }) => number(value)), config: {},
      },
    ],
  });
}
