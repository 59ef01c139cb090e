import React from 'react';
import { FieldType, PanelPlugin, cacheFieldDisplayNames } from '@grafana/data';
import { TableNG } from '@grafana/ui/unstable';
import { option } from '../registries.js';
import { NothingToShow } from './nothing.jsx';

const CUSTOM = {
  align: 'auto', cellOptions: { type: 'auto' }, displayMode: undefined, inspect: false, filterable: false, width: undefined, minWidth: undefined,
  hidden: undefined, hideHeader: undefined, wrapText: undefined, wrapHeaderText: undefined, footer: undefined, sortable: undefined,
  hideFrom: undefined, tooltip: undefined, styleField: undefined,
};
const OPTIONS = { frameIndex: 0, showHeader: true, showTypeIcons: false, cellHeight: 'sm', sortBy: undefined, footer: undefined, enablePagination: false, frozenColumns: undefined };

// A footer that older dashboards give the table, as each column has it now; Grafana's migration does the same.
function withFooter(frame, footer) {
  if (!footer?.show || !footer.reducer?.length) {
    return frame;
  }
  const counts = (field) => field.type === FieldType.number && (!footer.fields?.length || footer.fields.includes(field.name));
  const fields = frame.fields.map((field) =>
    (counts(field) ? { ...field, config: { ...field.config, custom: { ...field.config.custom, footer: { reducers: footer.reducer } } } } : field));
  return { ...frame, fields };
}

function Panel({ data, options, fieldConfig, width, height, timeRange, transparent }) {
  cacheFieldDisplayNames(data.series);
  const frame = data.series[options.frameIndex] ?? data.series[0];
  if (!frame?.length) {
    return <NothingToShow fieldConfig={fieldConfig} />;
  }
  return (
    <TableNG
      data={withFooter(frame, options.footer)} width={width} height={height} timeRange={timeRange} transparent={transparent}
      noHeader={!options.showHeader} showTypeIcons={options.showTypeIcons} cellHeight={options.cellHeight} sortBy={options.sortBy}
      enablePagination={options.enablePagination ?? options.footer?.enablePagination} fieldConfig={fieldConfig} resizable
      frozenColumns={options.frozenColumns?.left} structureRev={data.structureRev} noValue={fieldConfig.defaults.noValue}
    />
  );
}

export const table = new PanelPlugin(Panel)
  .setPanelOptions((builder) => {
    for (const [id, defaultValue] of Object.entries(OPTIONS)) {
      builder.addCustomEditor({ ...option(id), defaultValue });
    }
  })
  .useFieldConfig({
    useCustomConfig: (builder) => {
      for (const [id, defaultValue] of Object.entries(CUSTOM)) {
        builder.addCustomEditor({ ...option(id), defaultValue });
      }
    },
  });
