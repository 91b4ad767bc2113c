import * as Plot from "@observablehq/plot";
import domino from "domino";

export interface Series {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

export interface LinePlot {
  /** What the plot shows, for those who do not see it. */
  readonly description: string;
  readonly x: { readonly label: string };
  readonly y: {
    readonly label: string;
    readonly logarithmic?: boolean;
    readonly percent?: boolean;
  };
  readonly series: readonly Series[];
  /** Dashed lines across the plot. */
  readonly references: readonly { readonly name: string; readonly y: number }[];
}

/**
 * Eight colours that people with any colour vision can tell apart (Okabe and Ito 2008; the yellow, too pale for lines, left out), by way of CSS
 * variables so that a page can lighten them on a dark ground. Symbols differ too, for prints without colour.
 */
export const COLOURS = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#666666",
] as const;
export const SYMBOLS = ["circle", "square", "triangle", "diamond", "cross", "star", "wye"] as const;

const WIDTH = 720;
const HEIGHT = 420;
const MARGIN = { left: 64, right: 190, top: 28, bottom: 44 };
const LABEL_HEIGHT = 15;

/** Lines with a symbol at every point and a label at the end, as SVG text that can stand in a page or in a file of its own. */
export function drawLines(plot: LinePlot): string {
  const { series, references, x, y } = plot;
  const positions = [...new Set(series.flatMap(({ points }) => points.map((point) => point.x)))];
  const last = Math.max(...positions);
  const format = y.percent === true ? (value: number) => `${Math.round(100 * value)}%` : undefined;
  const options = (marks: Plot.Markish[]): Plot.PlotOptions => ({
    document: domino.createDocument(""),
    width: WIDTH,
    height: HEIGHT,
    marginLeft: MARGIN.left,
    marginRight: MARGIN.right,
    marginTop: MARGIN.top,
    marginBottom: MARGIN.bottom,
    style: { fontSize: "12px", background: "none" },
    x: {
      label: x.label,
      labelAnchor: "center",
      ticks: positions,
      tickFormat: "~g",
      domain: [0, last],
    },
    y: {
      label: y.label,
      type: y.logarithmic === true ? "log" : "linear",
      grid: true,
      nice: y.logarithmic !== true,
      ticks: 6,
      ...(format === undefined ? { tickFormat: "~g" } : { tickFormat: format }),
    },
    marks,
  });
  const lines = series.flatMap(({ points }, k) => {
    const stroke = colour(k);
    const channels = { x: "x", y: "y" } as const;
    return [
      Plot.lineY(points, { ...channels, stroke, strokeWidth: k === 0 ? 3 : 1.75 }),
      Plot.dot(points, {
        ...channels,
        stroke,
        fill: stroke,
        symbol: SYMBOLS[k % SYMBOLS.length] ?? "circle",
        r: 4,
      }),
    ];
  });
  const marks: Plot.Markish[] = [
    Plot.ruleY(references, { y: "y", stroke: "currentColor", strokeDasharray: "5 4" }),
    ...lines,
  ];

  // The scales, which the labels need, are known once the plot is drawn without them.
  const scale = Plot.plot(options(marks)).scale("y");
  const ends = [
    ...series.map(({ name, points }, k) => ({
      name,
      fill: colour(k),
      weight: k === 0 ? "bold" : "normal",
      y: points.at(-1)?.y ?? NaN,
    })),
    ...references.map((reference) => ({
      ...reference,
      fill: "currentColor",
      weight: "normal",
    })),
  ].map((end) => ({ ...end, at: Number(scale?.apply(end.y)) }));
  const labels = spread(ends).map(({ name, fill, weight, at }) =>
    Plot.text([name], {
      frameAnchor: "top-right",
      textAnchor: "start",
      dx: 12,
      dy: at - MARGIN.top,
      lineAnchor: "middle",
      fill,
      fontWeight: weight,
    }),
  );
  const svg = Plot.plot(options([...marks, ...labels])).outerHTML;
  return svg
    .replace("<svg ", `<svg xmlns="http://www.w3.org/2000/svg" role="img" `)
    .replace(/(<svg [^>]*>)/, `$1<title>${escapeText(plot.description)}</title>`);
}

/** A plot as a file of its own, on a white ground, with the colours themselves instead of variables. */
export function standaloneSvg(svg: string): string {
  return `${svg
    .replace(/var\(--series-\d+, (#\w+)\)/g, "$1")
    .replace(/(<\/style>)/, `$1<rect width="100%" height="100%" fill="white"/>`)}\n`;
}

/** The colour of the k-th series: a variable of the page, with its value on a light ground. */
export function colour(k: number): string {
  const index = k % COLOURS.length;
  return `var(--series-${index}, ${COLOURS[index] ?? ""})`;
}

/** Moves labels apart that would overlap, keeping their order. */
export function spread<T extends { readonly at: number }>(labels: readonly T[]): T[] {
  const placed = [...labels].sort((a, b) => a.at - b.at);
  for (let round = 0; round < 100; round++) {
    let moved = false;
    for (let i = 1; i < placed.length; i++) {
      const [above, below] = [placed[i - 1], placed[i]];
      if (above === undefined || below === undefined) continue;
      const overlap = LABEL_HEIGHT - (below.at - above.at);
      if (overlap <= 0.01) continue;
      placed[i - 1] = { ...above, at: above.at - overlap / 2 };
      placed[i] = { ...below, at: below.at + overlap / 2 };
      moved = true;
    }
    if (!moved) break;
  }
  return placed;
}

export function escapeText(text: string): string {
  return text
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;");
}
