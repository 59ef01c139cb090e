// A node graph. Grafana's own is part of its application and in no package: this finds nodes, edges and their fields by the same
// rules (frames by refId or by their fields, fields by their names, arcs by arc__), and draws them on a ring.
import React from 'react';
import { FieldType, PanelPlugin, getDisplayProcessor } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';
import { option } from '../registries.js';
import { NothingToShow } from './nothing.jsx';

const OPTIONS = { nodes: undefined, edges: undefined, zoomMode: undefined, layoutAlgorithm: undefined };
const NAMED = ['nodes', 'edges'];
const RADIUS = 24;

const field = (frame, name) => frame.fields.find((each) => each.name.toLowerCase() === name);
const isOurs = (frame) => frame.length > 0 && (NAMED.includes(frame.refId) || NAMED.includes(frame.name) || field(frame, 'id'));

function place(i, count, width, height) {
  const angle = (2 * Math.PI * i) / count - Math.PI / 2;
  return [width / 2 + (width / 2 - 80) * Math.cos(angle), height / 2 - 8 + (height / 2 - 48) * Math.sin(angle)];
}

function nodesOf(frame, arcs, theme, unit) {
  const main = field(frame, 'mainstat');
  const process = main && getDisplayProcessor({ field: { ...main, config: { ...main.config, unit: unit ?? main.config.unit } }, theme });
  return Array.from({ length: frame.length }, (_, i) => ({
    id: field(frame, 'id').values[i],
    title: field(frame, 'title')?.values[i] ?? '',
    stat: process ? [process(main.values[i])].map(({ prefix = '', text, suffix = '' }) => prefix + text + suffix)[0] : '',
    arcs: frame.fields.filter((each) => each.name.startsWith('arc__') && each.type === FieldType.number).map((each) => ({
      share: each.values[i], color: arcs?.find((arc) => arc.field === each.name)?.color ?? 'gray',
    })),
  })).sort((a, b) => (a.title < b.title ? -1 : 1));
}

function Ring({ x, y, arcs, theme }) {
  const around = 2 * Math.PI * RADIUS;
  let before = 0;
  return arcs.map(({ share, color }) => {
    const part = Math.min(1, Math.max(0, share)) * around;
    const drawn = (
      <circle
        key={before + color} cx={x} cy={y} r={RADIUS} fill="none" strokeWidth={5} stroke={theme.visualization.getColorByName(color)}
        strokeDasharray={`${part} ${around - part}`} strokeDashoffset={-before} transform={`rotate(-90 ${x} ${y})`}
      />
    );
    before += part;
    return drawn;
  });
}

function Panel({ data, width, height, options, fieldConfig }) {
  const theme = useTheme2();
  const frames = data.series.filter(isOurs);
  const lines = frames.find((frame) => field(frame, 'source') && field(frame, 'target'));
  const points = frames.find((frame) => frame !== lines && field(frame, 'id'));
  if (!points) {
    return <NothingToShow fieldConfig={fieldConfig} />;
  }
  const nodes = nodesOf(points, options.nodes?.arcs, theme, options.nodes?.mainStatUnit);
  const at = new Map(nodes.map(({ id }, i) => [id, place(i, nodes.length, width, height)]));
  const ends = lines ? Array.from({ length: lines.length }, (_, i) => [field(lines, 'source').values[i], field(lines, 'target').values[i]]) : [];
  const text = { fill: theme.colors.text.primary, textAnchor: 'middle', fontFamily: 'Inter' };
  return (
    <svg width={width} height={height} role="img" aria-label={`${nodes.length} nodes, ${ends.length} edges`}>
      {ends.filter((both) => both.every((id) => at.has(id))).map(([from, to]) => {
        const [[x1, y1], [x2, y2]] = [at.get(from), at.get(to)];
        return <line key={`${from} ${to}`} x1={x1} y1={y1} x2={x2} y2={y2} stroke={theme.colors.text.disabled} strokeWidth={1} />;
      })}
      {nodes.map(({ id, title, stat, arcs }) => {
        const [x, y] = at.get(id);
        return (
          <g key={id}>
            <circle cx={x} cy={y} r={RADIUS} fill={theme.colors.background.primary} stroke={theme.colors.text.disabled} strokeWidth={2} />
            <Ring x={x} y={y} arcs={arcs} theme={theme} />
            <text x={x} y={y + 4} fontSize={12} {...text}>{stat}</text>
            <text x={x} y={y + RADIUS + 16} fontSize={12} {...text}>{title}</text>
          </g>
        );
      })}
    </svg>
  );
}

export const nodeGraph = new PanelPlugin(Panel)
  .setPanelOptions((builder) => {
    for (const [id, defaultValue] of Object.entries(OPTIONS)) {
      builder.addCustomEditor({ ...option(id), defaultValue });
    }
  })
  .useFieldConfig({});
