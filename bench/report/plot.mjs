/** Small plots as SVG text, without a dependency: bars for a comparison, lines on logarithmic axes for growth. */

const colours = ["#0b6e99", "#c4581a", "#4a7c2c", "#7d4aa3", "#8a6d00", "#a3304a"];
const font = 'font-family="system-ui, sans-serif" font-size="12"';

/**
 * @param {{ title: string, unit: string, bars: readonly { label: string, value: number, low?: number, high?: number }[] }} plot
 * `low` and `high` draw the range of the repetitions
 */
export function barPlot({ title, unit, bars }) {
  const [left, width, row] = [270, 420, 26];
  const most = Math.max(...bars.map(({ value, high = value }) => Math.max(value, high)));
  const x = (value) => left + (value / most) * width;
  const body = bars.flatMap(({ label, value, low, high }, index) => {
    const y = 44 + index * row;
    return [
      text(left - 8, y + 13, label, "end"),
      `<rect x="${left}" y="${y}" width="${(x(value) - left).toFixed(1)}" height="18" fill="${colours[index % colours.length]}"/>`,
      ...(low === undefined || high === undefined ? [] : [line(x(low), y + 9, x(high), y + 9, "#222")]),
      text(x(Math.max(value, high ?? value)) + 6, y + 13, `${Number(value.toPrecision(3))}`),
    ];
  });
  return svg(left + width + 80, 60 + bars.length * row, `${title} (${unit})`, body);
}

/**
 * @param {{ title: string, x: string, y: string, series: readonly { label: string, points: readonly (readonly [number, number])[] }[] }} plot
 * both axes logarithmic, all values positive
 */
export function logPlot({ title, x, y, series }) {
  const [left, top, width, height] = [70, 40, 520, 300];
  const points = series.flatMap((each) => each.points);
  const [x0, x1] = decades(points.map(([value]) => value));
  const [y0, y1] = decades(points.map(([, value]) => value));
  const px = (value) => left + ((Math.log10(value) - x0) / (x1 - x0)) * width;
  const py = (value) => top + height - ((Math.log10(value) - y0) / (y1 - y0)) * height;
  const body = [];
  for (let power = x0; power <= x1; power++)
    body.push(
      line(px(10 ** power), top, px(10 ** power), top + height, "#ddd"),
      text(px(10 ** power), top + height + 16, tick(power), "middle"),
    );
  for (let power = y0; power <= y1; power++)
    body.push(line(left, py(10 ** power), left + width, py(10 ** power), "#ddd"), text(left - 6, py(10 ** power) + 4, tick(power), "end"));
  for (const [index, { label, points: own }] of series.entries()) {
    const colour = colours[index % colours.length];
    const path = own.map(([px_, py_], at) => `${at === 0 ? "M" : "L"}${px(px_).toFixed(1)} ${py(py_).toFixed(1)}`).join(" ");
    body.push(`<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const [px_, py_] of own) body.push(`<circle cx="${px(px_).toFixed(1)}" cy="${py(py_).toFixed(1)}" r="3" fill="${colour}"/>`);
    body.push(text(left + width + 12, top + 14 + index * 18, label, "start", colour));
  }
  body.push(text(left + width / 2, top + height + 36, x, "middle"), text(left, top - 8, y, "start"));
  return svg(left + width + 280, top + height + 50, title, body);
}

function decades(values) {
  const low = Math.floor(Math.log10(Math.min(...values)));
  return [low, Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))))];
}

const tick = (power) => (power >= 0 && power < 7 ? (10 ** power).toLocaleString("en-US") : `1e${power}`);
const line = (x1, y1, x2, y2, colour) =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${colour}"/>`;
const escaped = (value) => value.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const text = (x, y, value, anchor = "start", colour = "#222") =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="${colour}" ${font}>${escaped(value)}</text>`;

function svg(width, height, title, body) {
  const lines = [
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="12" y="22" fill="#222" font-weight="bold" ${font}>${escaped(title)}</text>`,
    ...body,
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n${lines.join("\n")}\n</svg>\n`;
}
