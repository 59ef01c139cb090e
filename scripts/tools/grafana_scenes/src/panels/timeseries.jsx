import React, { useEffect, useLayoutEffect, useMemo, useRef } from 'react';
import { FieldType, PanelPlugin } from '@grafana/data';
import { TimeSeries } from '@grafana/ui';
import { drawAnnotations } from '../annotations.js';
import { option } from '../registries.js';
import { NothingToShow } from './nothing.jsx';

const CUSTOM = {
  drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, lineStyle: undefined, fillOpacity: 0, fillBelowTo: undefined, gradientMode: 'none',
  showPoints: 'auto', pointSize: 5, showValues: false, spanNulls: false, insertNulls: false, barAlignment: 0, barWidthFactor: 0.6,
  barMaxWidth: undefined, stacking: { mode: 'none', group: 'A' }, transform: undefined, axisPlacement: 'auto', axisLabel: '',
  axisColorMode: 'text', axisBorderShow: false, axisGridShow: undefined, axisCenteredZero: false, axisWidth: undefined,
  axisSoftMin: undefined, axisSoftMax: undefined, scaleDistribution: { type: 'linear' },
  thresholdsStyle: { mode: 'off' }, hideFrom: { tooltip: false, viz: false, legend: false },
};
const NONE = [];
const LEGEND = { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] };

// Annotations often come after the plot was drawn, which is then drawn again.
function Events({ config, frames }) {
  const newest = useRef(frames);
  const plot = useRef();
  useEffect(() => {
    newest.current = frames;
    plot.current?.redraw(false);
  }, [frames]);
  useLayoutEffect(() => {
    config.addHook('init', (made) => { plot.current = made; });
    config.addHook('draw', (made) => drawAnnotations(made, newest.current));
  }, [config]);
  return null;
}

const isPlotted = (frame) =>
  frame.length > 0 && frame.fields.some(({ type }) => type === FieldType.time) && frame.fields.some(({ type }) => type === FieldType.number);

// What cannot be plotted (NaN, infinities) is a gap, as Grafana's panel makes it.
function withGaps(frame) {
  const gap = (value) => (Number.isFinite(value) ? value : null);
  return { ...frame, fields: frame.fields.map((field) => (field.type === FieldType.number ? { ...field, values: field.values.map(gap) } : field)) };
}

function Panel({ data, timeRange, timeZone, width, height, options, fieldConfig }) {
  const frames = useMemo(() => data.series.filter(isPlotted).map(withGaps), [data.series]);
  if (!frames.length) {
    return <NothingToShow fieldConfig={fieldConfig} />;
  }
  return (
    <TimeSeries
      frames={frames} structureRev={data.structureRev} timeRange={timeRange} timeZone={timeZone} width={width} height={height}
      legend={options.legend} options={options}
    >
      {(config) => <Events config={config} frames={data.annotations ?? NONE} />}
    </TimeSeries>
  );
}

export const timeseries = new PanelPlugin(Panel)
  .setDataSupport({ annotations: true })
  .setPanelOptions((builder) => builder.addCustomEditor({ ...option('legend'), defaultValue: LEGEND }))
  .useFieldConfig({
    standardOptions: { color: { defaultValue: { mode: 'palette-classic' } } },
    useCustomConfig: (builder) => {
      for (const [id, defaultValue] of Object.entries(CUSTOM)) {
        builder.addCustomEditor({ ...option(id), defaultValue });
      }
    },
  });
