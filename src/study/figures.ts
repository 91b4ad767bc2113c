import * as Plot from "@observablehq/plot";
import domino from "domino";
import type { LegendEntry } from "../report/page.js";
import { colour, escapeText, spread, SYMBOLS } from "../report/plot.js";
import { alphaText, percent } from "./findings.js";
import type { StudyResults } from "./results.js";
import {
  curves,
  layeredMerges,
  type MethodCurve,
  METHOD_ORDER,
  mismatchPoints,
  nameOf,
  type Reference,
  references,
  type RemovalStudy,
} from "./statistics.js";

/** How wide a figure is, and whether labels stand beside its lines. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly labels: boolean;
}

export const WIDE: Frame = { width: 720, height: 420, labels: true };
export const NARROW: Frame = { width: 350, height: 300, labels: false };
export const SMALL: Frame = { width: 350, height: 240, labels: false };
const LABEL_WIDTH = 190;

/** Dashes tell the lines across apart where they have no label. */
const DASHES: Readonly<Record<string, string>> = {
  joint: "9 3",
  expert: "3 3",
  base: "1 4",
  linear: "6 3 1 3",
  fisher_without_base: "12 3 3 3",
  slerp: "2 6",
};

const place = (method: string): number => Math.max(0, METHOD_ORDER.indexOf(method));
/** What comes after the colours and symbols that can be told apart is drawn in that of the text. */
const symbolOf = (method: string) => SYMBOLS[place(method)] ?? "times";
const strokeOf = (method: string): string =>
  place(method) < SYMBOLS.length ? colour(place(method)) : "currentColor";

/** Accuracy against α: a line for each method, and lines across for models without α. */
export function accuracyFigure(
  results: StudyResults,
  frame: Frame,
  options: { readonly task?: string; readonly domain?: readonly [number, number] } = {},
): string {
  const { task, domain } = options;
  const lines = curves(results, "accuracy", task);
  const across = references(results, "accuracy", task);
  const several = results.seeds.length > 1;
  const marks: Plot.Markish[] = [
    ...across.map((reference) => acrossLine(reference)),
    ...lines.flatMap((line) => methodLine(line, several)),
  ];
  const plot = (more: readonly Plot.Markish[]): Plot.PlotOptions => ({
    ...layout(frame),
    x: { label: "weight α of the experts →", labelAnchor: "center", ticks: frame.labels ? 8 : 5 },
    y: {
      label: "↑ accuracy",
      grid: true,
      nice: domain === undefined,
      ticks: frame.labels ? 7 : 5,
      tickFormat: (value: number) => `${Math.round(100 * value)}%`,
      ...(domain === undefined ? {} : { domain: [...domain] }),
    },
    marks: [...marks, ...more],
  });
  const about = task === undefined ? "mean over the tasks" : `on ${task}`;
  const title = `Accuracy of merged models, ${about}, against the weight of the experts, for each method`;
  if (!frame.labels) return draw(plot([]), title);

  // The scale, which the labels need, is known once the plot is drawn without them.
  const scale = Plot.plot({ ...plot([]), document: domino.createDocument("") }).scale("y");
  const ends = [
    ...lines.map(({ method, points }) => ({
      name: nameOf(method),
      fill: strokeOf(method),
      value: points.at(-1)?.mean ?? NaN,
    })),
    ...across.map(({ name, mean }) => ({ name, fill: "currentColor", value: mean })),
  ].map((end) => ({ ...end, at: Number(scale?.apply(end.value)) }));
  const labels = spread(ends).map(({ name, fill, at }) =>
    Plot.text([name], {
      frameAnchor: "top-right",
      textAnchor: "start",
      dx: 12,
      dy: at - MARGIN.top,
      lineAnchor: "middle",
      fill,
    }),
  );
  return draw(plot(labels), title);
}

/** The smallest range that holds every accuracy on every test set, for plots that are to be compared. */
export function commonDomain(
  results: StudyResults,
  tests: readonly string[],
): readonly [number, number] {
  const values = tests.flatMap((task) => [
    ...curves(results, "accuracy", task).flatMap(({ points }) => points.map(({ mean }) => mean)),
    ...references(results, "accuracy", task).map(({ mean }) => mean),
  ]);
  const low = Math.floor(Math.min(...values) * 20) / 20;
  const high = Math.ceil(Math.max(...values) * 20) / 20;
  return high > low ? [low, high] : [low - 0.05, high + 0.05];
}

/** The names of lines and symbols, for figures that have no room for labels. */
export function legend(results: StudyResults): readonly LegendEntry[] {
  return [
    ...curves(results).map(({ method }) => ({ svg: swatch(method), name: nameOf(method) })),
    ...references(results).map(({ method, name }) => ({ svg: swatch(method, true), name })),
  ];
}

/** The same for figures in which every method has a symbol. */
export function symbolLegend(methods: readonly string[]): readonly LegendEntry[] {
  return methods.map((method) => ({ svg: swatch(method), name: nameOf(method) }));
}

/** Test error against the gradient mismatch, a point for each merge. */
export function mismatchFigure(results: StudyResults, frame: Frame): string {
  const found = mismatchPoints(results).map((point) => ({
    ...point,
    name: nameOf(point.method),
  }));
  const methods = [...new Set(found.map(({ method }) => method))];
  const marks = methods.map((method) => {
    const own = found.filter((point) => point.method === method);
    return Plot.dot(own, {
      x: "mismatch",
      y: "error",
      stroke: strokeOf(method),
      fill: strokeOf(method),
      fillOpacity: 0.45,
      symbol: symbolOf(method),
      r: 5,
    });
  });
  const labels = frame.labels
    ? [
        Plot.text(
          found.filter(({ alpha }) => alpha !== null),
          {
            x: "mismatch",
            y: "error",
            text: ({ alpha }: { alpha: number | null }) => `${alpha ?? ""}`,
            dy: -11,
            fontSize: 10,
            fill: "currentColor",
          },
        ),
      ]
    : [];
  return draw(
    {
      ...layout({ ...frame, labels: false }),
      x: {
        label: "gradient mismatch (logarithmic) →",
        labelAnchor: "center",
        type: "log",
        ticks: frame.labels ? 8 : 4,
        tickFormat: "~s",
      },
      y: {
        label: "↑ test error, mean over the tasks",
        grid: true,
        nice: true,
        tickFormat: (value: number) => `${Math.round(100 * value)}%`,
      },
      marks: [...marks, ...labels],
    },
    "Test error of every merge against its gradient mismatch",
  );
}

/** The mismatch of one method by layer and α: dark is small, and every cell says its power of ten. */
export function layerFigure(results: StudyResults, method: string): string {
  const merges = layeredMerges(results);
  const seed = merges[0]?.seed;
  const names = shortNames([...new Set(merges.flatMap((one) => Object.keys(one.layers)))]);
  const cells = merges
    .filter((merge) => merge.seed === seed)
    .flatMap((merge) =>
      Object.entries(merge.layers).map(([layer, value]) => ({
        method: merge.method,
        alpha: merge.alpha ?? NaN,
        layer: names.get(layer) ?? layer,
        value: value > 0 ? Math.log10(value) : NaN,
      })),
    )
    .filter(({ alpha, value }) => Number.isFinite(alpha) && Number.isFinite(value));
  const values = cells.map(({ value }) => value);
  const domain: [number, number] = [Math.min(...values), Math.max(...values)];
  const middle = (domain[0] + domain[1]) / 2;
  const own = cells.filter((cell) => cell.method === method);
  const layers = [...new Set(cells.map(({ layer }) => layer))];
  return draw(
    {
      width: SMALL.width,
      height: 60 + 22 * layers.length,
      // About 7 pixels a letter.
      marginLeft: 16 + 7 * Math.max(...layers.map((layer) => layer.length)),
      marginRight: 8,
      marginTop: 8,
      marginBottom: 40,
      style: STYLE,
      padding: 0.04,
      x: { label: "α →", labelAnchor: "center", type: "band", tickSize: 0 },
      y: { label: null, domain: layers, tickSize: 0 },
      // Runs from dark to light without passing through hues that some cannot tell apart.
      color: { type: "linear", scheme: "viridis", domain },
      marks: [
        Plot.cell(own, { x: "alpha", y: "layer", fill: "value" }),
        Plot.text(own, {
          x: "alpha",
          y: "layer",
          text: ({ value }: { value: number }) => value.toFixed(1),
          fill: ({ value }: { value: number }) => (value > middle ? "black" : "white"),
          fontSize: 10,
        }),
      ],
    },
    `Logarithm of the gradient mismatch of ${nameOf(method)} by layer and α`,
  );
}

/** "bert.encoder.layer.0" → "layer 0", "bert.embeddings" → "embeddings"; names that would become the same keep their ends. */
function shortNames(layers: readonly string[]): ReadonlyMap<string, string> {
  const short = (layer: string): string => {
    const last = layer.split(".").at(-1) ?? layer;
    return /^\d+$/.test(last) ? `layer ${last}` : last;
  };
  const counts = new Map<string, number>();
  for (const layer of layers) counts.set(short(layer), (counts.get(short(layer)) ?? 0) + 1);
  return new Map(
    layers.map((layer) => [
      layer,
      counts.get(short(layer)) === 1 ? short(layer) : layer.slice(-20),
    ]),
  );
}

/** What is left of a removed task against what is left of the rest, a line for each method from the base on. */
export function removalFigure({ task, base, curves: found }: RemovalStudy, frame: Frame): string {
  const marks = found.flatMap(({ method, points }): Plot.Markish[] => {
    const stroke = strokeOf(method);
    const last = points.at(-1);
    return [
      Plot.line([base, ...points], { x: "kept", y: "removed", stroke, strokeWidth: 2 }),
      Plot.dot(points, {
        x: "kept",
        y: "removed",
        stroke,
        fill: stroke,
        symbol: symbolOf(method),
        r: 4,
      }),
      ...(last === undefined
        ? []
        : [
            Plot.text([last], {
              x: "kept",
              y: "removed",
              text: ({ alpha }: { alpha: number }) => `α ${alphaText(alpha)}`,
              dy: 13,
              fontSize: 10,
              fill: stroke,
            }),
          ]),
    ];
  });
  const asPercent = (value: number) => `${Math.round(100 * value)}%`;
  return draw(
    {
      ...layout(frame),
      marginRight: 24,
      insetBottom: 16,
      x: {
        label: "accuracy on everything else →",
        labelAnchor: "center",
        nice: true,
        ticks: 5,
        tickFormat: asPercent,
      },
      y: {
        label: `↑ accuracy on ${task}, which is removed`,
        nice: true,
        grid: true,
        ticks: 5,
        tickFormat: asPercent,
      },
      marks: [
        ...marks,
        Plot.dot([base], { x: "kept", y: "removed", r: 6, stroke: "currentColor" }),
        Plot.text([base], {
          x: "kept",
          y: "removed",
          text: [`base, ${percent(base.removed)}`],
          dy: -13,
          textAnchor: "end",
          fill: "currentColor",
        }),
      ],
    },
    `Accuracy on ${task} against accuracy on everything else as ${task} is removed from the base`,
  );
}

const MARGIN = { left: 52, right: 14, top: 28, bottom: 44 };
const STYLE = { fontSize: "12px", background: "none" };

function layout({ width, height, labels }: Frame): Plot.PlotOptions {
  return {
    width,
    height,
    marginLeft: MARGIN.left,
    marginRight: labels ? LABEL_WIDTH : MARGIN.right,
    marginTop: MARGIN.top,
    marginBottom: MARGIN.bottom,
    // Symbols at the first and the last α are seen whole.
    insetLeft: 6,
    insetRight: 6,
    style: STYLE,
  };
}

function acrossLine({ method, mean }: Reference): Plot.Markish {
  return Plot.ruleY([mean], {
    stroke: "currentColor",
    strokeOpacity: 0.75,
    strokeDasharray: DASHES[method] ?? "5 4",
  });
}

function methodLine({ method, points }: MethodCurve, several: boolean): readonly Plot.Markish[] {
  const stroke = strokeOf(method);
  const channels = { x: "alpha", y: "mean" } as const;
  return [
    ...(several
      ? [Plot.areaY(points, { x: "alpha", y1: "low", y2: "high", fill: stroke, fillOpacity: 0.18 })]
      : []),
    Plot.lineY(points, { ...channels, stroke, strokeWidth: place(method) === 0 ? 3 : 1.75 }),
    Plot.dot(points, { ...channels, stroke, fill: stroke, symbol: symbolOf(method), r: 4 }),
  ];
}

/** A line with its symbol, or with its dashes, as it stands in a figure. */
function swatch(method: string, across = false): string {
  const stroke = across ? "currentColor" : strokeOf(method);
  const ends = [
    { x: 0, y: 0 },
    { x: 1, y: 0 },
  ];
  const line = Plot.line(ends, {
    x: "x",
    y: "y",
    stroke,
    strokeWidth: 2,
    ...(across ? { strokeDasharray: DASHES[method] ?? "5 4" } : {}),
  });
  const dot = Plot.dot([{ x: 0.5, y: 0 }], {
    x: "x",
    y: "y",
    stroke,
    fill: stroke,
    symbol: symbolOf(method),
    r: 4,
  });
  return draw(
    {
      width: 34,
      height: 14,
      margin: 2,
      axis: null,
      x: { domain: [0, 1] },
      y: { domain: [-1, 1] },
      style: STYLE,
      marks: across ? [line] : [line, dot],
    },
    nameOf(method),
  );
}

function draw(options: Plot.PlotOptions, title: string): string {
  return Plot.plot({ ...options, document: domino.createDocument("") })
    .outerHTML.replace("<svg ", `<svg xmlns="http://www.w3.org/2000/svg" role="img" `)
    .replace(/(<svg [^>]*>)/, `$1<title>${escapeText(title)}</title>`);
}
