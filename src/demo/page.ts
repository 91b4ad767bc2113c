import { renderPage, type Block } from "../report/page.js";
import { drawLines, type LinePlot } from "../report/plot.js";
import { VERSION } from "../version.js";
import type { DemoResults, Scores } from "./demo.js";
import { demoTables, rowsOf } from "./tables.js";

/** The plot of the test error of four merged tasks against α. */
export function errorPlot(results: DemoResults): string {
  return drawLines({
    ...plotOf(results, ({ error }) => error),
    description:
      "Test error of merged models against the weight of the experts, for each method; joint training and the base for comparison",
    y: { label: "↑ error on unseen texts", percent: true },
  });
}

/** The results as a page that needs nothing else. */
export function demoPage(results: DemoResults): string {
  const distance = drawLines({
    ...plotOf(results, (scores) => scores.distance, ["base"]),
    description: "Distance to the jointly trained weights against the weight of the experts",
    y: { label: "↑ distance to the jointly trained weights (1 = the base)", logarithmic: true },
  });
  const { base = 0, unwanted = 0, ...tasks } = results.trainSizes;
  const sizes = Object.entries(tasks).map(([name, size]) => `${name} ${size}`);
  const [error, ...tables] = demoTables(results).map((table): Block => ({
    kind: "table",
    ...table,
  }));
  return renderPage({
    title: "Merging by gradient matching: the demo",
    blocks: [
      {
        kind: "text",
        text: `A base text classifier of ${results.weights} weights was trained on ${base} texts, and four experts were fine-tuned from it, each on one domain: ${sizes.join(", ")} texts. Each method then merged the four experts without any data. How close does it come to one model that was trained on all of the data together?`,
      },
      {
        kind: "figure",
        svg: errorPlot(results),
        caption:
          "Error of the merged model on unseen texts of all four domains, by the weight α that the experts were given.",
      },
      ...(error === undefined ? [] : [error]),
      {
        kind: "figure",
        svg: distance,
        caption: "How far the merged weights are from those of joint training.",
      },
      ...tables,
      {
        kind: "text",
        text: `The ${unwanted} unwanted texts of the last table were part of the base's own training. All models are at the exact optima of their objectives, and every Fisher is exact, so the differences are those of the methods alone. What separates gradient matching from its target is that it knows the diagonal of each Hessian and takes gradients to be linear. A classifier this small shows how the methods behave; it says nothing about how much they differ on large networks. Elastic weight removal was made for removing, from Fishers of the task vectors; that it moves even weights in which nothing differs is its rule, not a fault here.`,
      },
    ],
    footer: `gradmerge ${VERSION} · seed ${results.seed}${results.quick ? " · quick form" : ""} · ${results.merges.length} merges · figures in results.json, recipes in recipes/`,
  });
}

function plotOf(
  { merges, references }: DemoResults,
  show: (scores: Scores) => number,
  rows: readonly string[] = ["joint training", "base"],
): Pick<LinePlot, "x" | "series" | "references"> {
  const four = merges.filter(({ experiment }) => experiment === "four tasks");
  const lines = rowsOf(four);
  return {
    x: { label: "weight α of the experts →" },
    series: lines
      .filter(([, scores]) => scores.some(({ alpha }) => alpha !== undefined))
      .map(([name, scores]) => ({
        name,
        points: scores.flatMap((one) =>
          one.alpha === undefined ? [] : [{ x: one.alpha, y: show(one) }],
        ),
      })),
    references: [
      ...lines.flatMap(([name, [one]]) =>
        one === undefined || one.alpha !== undefined ? [] : [{ name, y: show(one) }],
      ),
      ...references
        .filter(({ experiment, row }) => experiment === "four tasks" && rows.includes(row))
        .map((one) => ({ name: one.row, y: show(one) })),
    ],
  };
}
