import { formatTable } from "../report/table.js";
import type { Refinement } from "./refine.js";
import { shortNames } from "./names.js";

const REASONS = {
  steps: "all steps were taken",
  tolerance: "the residual is small enough",
  "no progress": "no shorter step made the objective smaller",
} as const;

/** What a person wants to know of a merge that was refined: the residual step by step, and the losses before and after. */
export function describeRefinement({ out, steps, stopped, tasks }: Refinement): string {
  const names = shortNames(tasks.map(({ name }) => name));
  const first = steps[0]?.objective ?? 0;
  const number = (value: number): string => String(Number(value.toPrecision(4)));
  const table = formatTable(
    [
      { title: "step", align: "right" },
      { title: "objective", align: "right" },
      { title: "residual", align: "right" },
      { title: "scaled", align: "right" },
      { title: "distance", align: "right" },
      { title: "tries", align: "right" },
    ],
    steps.map((step) => [
      String(step.step),
      step.step === 0 ? number(first) : `${number(step.objective - first)}`,
      number(step.residual),
      number(step.scaled_residual),
      number(step.distance),
      String(step.tries),
    ]),
  );
  const losses = formatTable(
    [
      { title: "task" },
      { title: "examples", align: "right" },
      { title: "loss before", align: "right" },
      { title: "after", align: "right" },
    ],
    tasks.map((task) => [
      names.get(task.name) ?? task.name,
      String(task.examples),
      task.loss_before.toFixed(4),
      task.loss_after.toFixed(4),
    ]),
  );
  const last = steps.at(-1);
  const from = steps[0]?.residual ?? NaN;
  return `${table}\n${losses}\n${out}: residual ${number(from)} before, ${number(last?.residual ?? NaN)} after; ${REASONS[stopped]}\n`;
}
