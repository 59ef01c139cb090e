// Annotations from series: where a series is above 0 there is an event, and neighbours are one event.
import { fill } from './frames.js';

export function annotationEvents(annotation, series, step) {
  return series.flatMap(({ metric, values }) => {
    const about = {
      title: fill(annotation.titleFormat ?? annotation.name, metric),
      text: fill(annotation.textFormat ?? '', metric),
      tags: (annotation.tagKeys ?? '').split(',').map((key) => metric[key.trim()]).filter(Boolean),
    };
    const events = [];
    for (const [seconds, value] of values) {
      const at = (annotation.useValueForTime ? Number(value) : seconds) * 1000;
      const last = events.at(-1);
      if (!(Number(value) > 0)) {
        continue;
      }
      if (last && at - last.timeEnd <= step * 1000) {
        last.timeEnd = at;
      } else {
        events.push({ ...about, time: at, timeEnd: at });
      }
    }
    return events;
  });
}

// Draws them on a plot: a dashed line where one begins, a shade over one that lasts, a mark below the axis.
export function drawAnnotations(plot, frames) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height + 8 * devicePixelRatio);
  ctx.clip();
  for (const frame of frames) {
    const field = (name) => frame.fields.find((one) => one.name === name)?.values ?? [];
    field('time').forEach((time, i) => drawOne(plot, time, field('timeEnd')[i] ?? time, field('color')[i] ?? 'rgb(0, 211, 255)'));
  }
  ctx.restore();
}

function drawOne({ ctx, bbox, valToPos }, time, timeEnd, color) {
  const [left, right] = [time, timeEnd].map((at) => Math.round(valToPos(at, 'x', true)));
  const bottom = bbox.top + bbox.height;
  const mark = 5 * devicePixelRatio;
  ctx.fillStyle = color;
  ctx.strokeStyle = color;
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.setLineDash([5, 5]);
  for (const x of right > left ? [left, right] : [left]) {
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bottom);
    ctx.stroke();
  }
  if (right > left) {
    ctx.globalAlpha = 0.1;
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.globalAlpha = 1;
    ctx.fillRect(left, bottom, right - left, mark);
  } else {
    ctx.beginPath();
    ctx.moveTo(left, bottom);
    ctx.lineTo(left - mark, bottom + mark);
    ctx.lineTo(left + mark, bottom + mark);
    ctx.fill();
  }
}
