// The panels that reduce each series to one value: stat, gauge, bar gauge.
import React from 'react';
import { FieldColorModeId, PanelPlugin, VizOrientation, getDisplayValueAlignmentFactors, getFieldDisplayValues } from '@grafana/data';
import { BarGauge, BigValue, VizRepeater, useTheme2 } from '@grafana/ui';
import { option } from '../registries.js';
import { Arc } from './arc.jsx';

const REDUCE = { values: false, calcs: ['lastNotNull'], fields: '' };
const SHARED = { reduceOptions: REDUCE, orientation: 'auto', text: undefined };
const STAT = {
  ...SHARED, colorMode: 'value', graphMode: 'area', justifyMode: 'auto', textMode: 'auto', wideLayout: true,
  showPercentChange: false, percentChangeColorMode: 'standard',
};
const BARS = {
  ...SHARED, displayMode: 'gradient', valueMode: 'color', namePlacement: 'auto', showUnfilled: true, sizing: 'auto',
  minVizWidth: 8, minVizHeight: 16, maxVizHeight: 300,
};
const GAUGE = { ...SHARED, showThresholdLabels: false, showThresholdMarkers: true, sizing: 'auto', minVizWidth: 75, minVizHeight: 75 };

function values({ data, options, fieldConfig, replaceVariables, timeZone, timeRange }, theme, sparkline = false) {
  const found = getFieldDisplayValues({
    fieldConfig, reduceOptions: { ...REDUCE, ...options.reduceOptions }, replaceVariables, theme, data: data.series, sparkline,
    percentChange: options.showPercentChange, timeZone,
  });
  for (const value of found) {
    if (value.sparkline) {
      value.sparkline.timeRange = timeRange;
    }
  }
  return found;
}

function laid(orientation, width, height) {
  return orientation !== VizOrientation.Auto ? orientation : width > height ? VizOrientation.Vertical : VizOrientation.Horizontal;
}

function Repeated({ panel, sparkline, render, ...layout }) {
  const theme = useTheme2();
  return (
    <VizRepeater
      getValues={() => values(panel, theme, sparkline)} getAlignmentFactors={getDisplayValueAlignmentFactors} source={panel.data}
      renderValue={(one) => render(one, theme)} renderCounter={panel.renderCounter} width={panel.width} height={panel.height} {...layout}
    />
  );
}

function Stat(panel) {
  const { options } = panel;
  const render = ({ value, count, ...box }, theme) => (
    <BigValue
      {...box} theme={theme} value={value.display} sparkline={value.sparkline} count={count} colorMode={options.colorMode}
      graphMode={options.graphMode} justifyMode={options.justifyMode} textMode={options.textMode} text={options.text}
      percentChangeColorMode={options.percentChangeColorMode} disableWideLayout={!options.wideLayout}
    />
  );
  return <Repeated panel={panel} sparkline={options.graphMode !== 'none'} render={render} orientation={options.orientation} itemSpacing={3} autoGrid />;
}

function Bars(panel) {
  const { options, width, height } = panel;
  const spacing = options.displayMode === 'lcd' ? 2 : 10;
  const sizes = options.sizing === 'manual' ? options : BARS;
  const render = ({ value, ...box }, theme) => (
    <BarGauge
      {...box} theme={theme} value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex)}
      text={options.text} displayMode={options.displayMode} itemSpacing={spacing} showUnfilled={options.showUnfilled}
      valueDisplayMode={options.valueMode} namePlacement={options.namePlacement}
    />
  );
  return (
    <Repeated
      panel={panel} render={render} orientation={laid(options.orientation, width, height)} itemSpacing={spacing}
      minVizWidth={sizes.minVizWidth} minVizHeight={sizes.minVizHeight} maxVizHeight={sizes.maxVizHeight}
    />
  );
}

function Gauge(panel) {
  const { options, width, height } = panel;
  const render = ({ value, count, ...box }, theme) => (
    <Arc {...box} theme={theme} value={value} named={count > 1} marked={options.showThresholdMarkers} />
  );
  return <Repeated panel={panel} render={render} orientation={laid(options.orientation, width, height)} itemSpacing={16} autoGrid />;
}

function plugin(component, defaults, color) {
  return new PanelPlugin(component)
    .setPanelOptions((builder) => {
      for (const [id, defaultValue] of Object.entries(defaults)) {
        builder.addCustomEditor({ ...option(id), defaultValue });
      }
    })
    .useFieldConfig({ standardOptions: { color: { defaultValue: { mode: color } } } });
}

export const stat = plugin(Stat, STAT, FieldColorModeId.Thresholds);
export const bargauge = plugin(Bars, BARS, FieldColorModeId.Thresholds);
export const gauge = plugin(Gauge, GAUGE, FieldColorModeId.Thresholds);
