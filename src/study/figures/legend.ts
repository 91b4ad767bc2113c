import * as Plot from "@observablehq/plot";
import type { LegendEntry } from "../../report/page.js";
import { drawSvg, FIGURE_STYLE } from "../../report/plot.js";
import { nameOf } from "../names.js";
import type { StudyResults } from "../results.js";
import { curves, references } from "../statistics.js";
import { dashesOf, strokeOf, symbolOf } from "./frame.js";

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
    ...(across ? { strokeDasharray: dashesOf(method) } : {}),
  });
  const dot = Plot.dot([{ x: 0.5, y: 0 }], {
    x: "x",
    y: "y",
    stroke,
    fill: stroke,
    symbol: symbolOf(method),
    r: 4,
  });
  return drawSvg(
    {
      width: 34,
      height: 14,
      margin: 2,
      axis: null,
      x: { domain: [0, 1] },
      y: { domain: [-1, 1] },
      style: FIGURE_STYLE,
      marks: across ? [line] : [line, dot],
    },
    `Mark of ${nameOf(method)}`,
  );
}
