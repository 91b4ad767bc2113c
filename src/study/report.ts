import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Block, renderPage } from "../report/page.js";
import {
  accuracyFigure,
  commonDomain,
  layerFigure,
  legend,
  mismatchFigure,
  NARROW,
  removalFigure,
  SMALL,
  symbolLegend,
  WIDE,
} from "./figures.js";
import { findings } from "./findings.js";
import type { StudyResults } from "./results.js";
import { curves, inOrder, mismatchPoints, nameOf, removals } from "./statistics.js";
import {
  alphaTable,
  layeredMethods,
  mismatchTable,
  modelTable,
  removalTables,
  robustnessTable,
  type StudyTable,
  taskTable,
} from "./tables.js";

/** Writes `report.html` beside the results; returns its path. */
export function writeReport(results: StudyResults, out: string): string {
  const file = join(out, "report.html");
  writeFileSync(file, studyPage(results));
  return file;
}

/** A study as one page that needs nothing else. */
export function studyPage(results: StudyResults): string {
  const { seeds, tasks, created_with } = results;
  const merges = results.merges.length;
  return renderPage({
    title: `Merging ${listed(tasks)}: a study`,
    blocks: [
      { kind: "list", items: findings(results) },
      ...accuracySection(results),
      ...mismatchSection(results),
      ...removalSection(results),
      ...recordSection(results),
    ],
    footer: `${created_with} · ${merges} merges · ${seeds.length === 1 ? `seed ${seeds[0]}` : `seeds ${seeds.join(", ")}`} · every figure is in results.json, every merge in recipes/`,
  });
}

function accuracySection(results: StudyResults): readonly Block[] {
  const hasCurves = curves(results).length > 0;
  const names = legend(results);
  const domain = hasCurves ? commonDomain(results, results.tests) : undefined;
  const figures: readonly Block[] =
    domain === undefined
      ? []
      : [
          { kind: "heading", text: "Accuracy against α" },
          {
            kind: "figure",
            svg: accuracyFigure(results, WIDE),
            narrow: { svg: accuracyFigure(results, NARROW), legend: names },
            caption: `Mean accuracy over the tasks by the weight α that every expert is given. Lines across are models without α.${results.seeds.length > 1 ? " Bands run from the lowest to the highest seed." : ""}`,
          },
          table(alphaTable(results)),
          table(robustnessTable(results)),
          { kind: "heading", text: "Each test set" },
          {
            kind: "figures",
            items: results.tests.map((task) => ({
              title: task,
              svg: accuracyFigure(results, SMALL, { task, domain }),
            })),
            legend: names,
            caption:
              "Accuracy on each test set, on one scale. On a task’s test set, the line of experts is that task’s own expert.",
          },
        ];
  return [...figures, table(taskTable(results))];
}

function mismatchSection(results: StudyResults): readonly Block[] {
  const measured = mismatchTable(results);
  if (measured === undefined) return [];
  const methods = inOrder(mismatchPoints(results).map(({ method }) => method));
  const layered = layeredMethods(results);
  const names = symbolLegend(methods);
  return [
    { kind: "heading", text: "Gradient mismatch and error" },
    {
      kind: "text",
      text: "The mismatch is how far the gradients of the tasks at the merged weights are from those at the experts’ own weights. To first order it is the error of a merge; it is measured on training data, without any test data and without the joint model.",
    },
    {
      kind: "figure",
      svg: mismatchFigure(results, WIDE),
      narrow: { svg: mismatchFigure(results, NARROW) },
      legend: names,
      caption: "Test error against mismatch, a point for each merge; on wide screens with its α.",
    },
    ...(layered.length === 0
      ? []
      : [
          {
            kind: "figures" as const,
            items: layered.map((method) => ({
              title: nameOf(method),
              svg: layerFigure(results, method),
            })),
            legend: [],
            caption:
              "Mismatch by layer and α, as a power of ten: 2.0 is 100. Light is large; all methods share one scale.",
          },
        ]),
    table(measured),
  ];
}

function removalSection(results: StudyResults): readonly Block[] {
  const found = removals(results);
  if (found.length === 0) return [];
  const methods = inOrder(found.flatMap(({ curves: all }) => all.map(({ method }) => method)));
  return [
    { kind: "heading", text: "Removal" },
    {
      kind: "figures",
      items: found.map((one) => ({
        title: `${one.task} is removed`,
        svg: removalFigure(one, { ...SMALL, height: 300 }),
      })),
      legend: symbolLegend(methods),
      caption:
        "What is left of a task against what is left of the rest, from the base on with growing weight. Good removal goes straight down; what goes left is lost.",
    },
    ...removalTables(results).map(table),
  ];
}

function recordSection(results: StudyResults): readonly Block[] {
  const failed = results.merges.filter(({ failure }) => failure !== null);
  return [
    { kind: "heading", text: "How this was made" },
    table(modelTable(results)),
    { kind: "code", title: "The study", text: results.study.trimEnd() },
    {
      kind: "code",
      title: `The recipes of all ${results.merges.length} merges: gradmerge merge RECIPE OUT`,
      text: results.merges.map(({ recipe }) => recipe).join("\n"),
    },
    ...failed.map(({ id, failure }) => ({
      kind: "code" as const,
      title: `Why ${id} is missing`,
      text: failure ?? "",
    })),
  ];
}

const table = (one: StudyTable): Block => ({ kind: "table", ...one });

function listed(names: readonly string[]): string {
  return names.length < 2
    ? (names[0] ?? "")
    : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
