// A gauge. @grafana/ui has none outside of Grafana itself, so this draws the arc; value, colour and text are Grafana's.
import React from 'react';
import { formattedValueToString } from '@grafana/data';

const START = -120;
const SWEEP = 240;

function point(x, y, radius, share) {
  const angle = ((START + SWEEP * share - 90) * Math.PI) / 180;
  return `${x + radius * Math.cos(angle)} ${y + radius * Math.sin(angle)}`;
}

function path(x, y, radius, from, to) {
  const large = (to - from) * SWEEP > 180 ? 1 : 0;
  return `M ${point(x, y, radius, from)} A ${radius} ${radius} 0 ${large} 1 ${point(x, y, radius, to)}`;
}

export function Arc({ value: { display, field }, width, height, theme, named, marked }) {
  const [min, max] = [field.min ?? 0, field.max ?? 100];
  const share = (value) => Math.min(1, Math.max(0, (value - min) / (max - min || 1)));
  const room = named ? height - 20 : height;
  const radius = Math.max(10, Math.min(width / 2, room / 1.55) - 8);
  const [x, y, thick] = [width / 2, radius + 8, radius * 0.25];
  const steps = field.thresholds?.steps ?? [];
  const text = formattedValueToString(display);
  const size = Math.min(radius * 0.42, (radius * 2.2) / Math.max(text.length, 1));
  return (
    <svg width={width} height={height} role="img" aria-label={`${display.title ?? ''} ${text}`}>
      <path d={path(x, y, radius - thick / 2, 0, 1)} stroke={theme.colors.background.secondary} strokeWidth={thick} fill="none" />
      {Number.isFinite(display.numeric) && (
        <path d={path(x, y, radius - thick / 2, 0, Math.max(0.001, share(display.numeric)))} stroke={display.color} strokeWidth={thick} fill="none" />
      )}
      {marked && steps.map((step, i) => {
        const [from, to] = [share(step.value), i + 1 < steps.length ? share(steps[i + 1].value) : 1];
        return to > from && (
          <path key={step.color + i} d={path(x, y, radius + 3, from, to)} stroke={theme.visualization.getColorByName(step.color)} strokeWidth={3} fill="none" />
        );
      })}
      <text x={x} y={y + size / 3} fontSize={size} fill={display.color} textAnchor="middle" fontFamily="Inter" fontWeight={500}>{text}</text>
      {named && <text x={x} y={height - 4} fontSize={13} fill={theme.colors.text.primary} textAnchor="middle" fontFamily="Inter">{display.title}</text>}
    </svg>
  );
}
