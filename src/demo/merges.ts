import { WEIGHT_DECAY } from "./world.js";
import { TASK_VECTOR_FISHER } from "./folders.js";

/** One merge of the demo: a recipe, and where its result belongs in the tables. */
export interface DemoMerge {
  /** Of the recipe and of the output folder. */
  readonly id: string;
  readonly experiment: "four tasks" | "two tasks" | "removal";
  /** The line in the table. */
  readonly row: string;
  /** Absent for methods without such a number. */
  readonly alpha?: number | undefined;
  readonly recipe: string;
}

const FOUR = ["books", "films", "food", "travel"];
/** The two largest tasks. */
export const PAIR = ["food", "travel"];

export const alphas = (quick: boolean): number[] => (quick ? [0.5, 1] : [0.25, 0.5, 1, 1.5, 2]);
export const removalAlphas = (quick: boolean): number[] => (quick ? [1] : [0.25, 0.5, 1]);

/** All merges of the demo. Recipes lie in `recipes/`, models in `models/` beside it. */
export function demoMerges(quick: boolean): DemoMerge[] {
  const base = "base_model: ../models/base\n";
  const damping = `damping: ${WEIGHT_DECAY}`;
  const merges: DemoMerge[] = [
    four("mean of the experts", undefined, "linear", "", models(FOUR, "weight: 1")),
    four("fisher, experts alone", undefined, "fisher", "", models(FOUR, "weight: 1")),
  ];
  for (const alpha of alphas(quick)) {
    const weighted = models(FOUR, `weight: ${alpha}`);
    merges.push(
      four("gradient_matching", alpha, "gradient_matching", base, weighted, damping),
      four("task_arithmetic", alpha, "task_arithmetic", base, weighted),
      four("fisher, with base", alpha, "fisher", base, weighted, damping),
      four(
        "ties",
        alpha,
        "ties",
        base,
        models(FOUR, "weight: 1, density: 0.5"),
        `lambda: ${alpha}`,
      ),
      four(
        "elastic_weight_removal",
        alpha,
        "elastic_weight_removal",
        base,
        models(FOUR, `weight: ${alpha}`, TASK_VECTOR_FISHER),
      ),
    );
  }

  const [first = "", second = ""] = PAIR;
  const pair = (row: string, method: string, head: string, body: string, parameters?: string) =>
    merges.push(merge("two tasks", row, undefined, method, head, body, parameters));
  pair("gradient_matching", "gradient_matching", base, models(PAIR, "weight: 1"), damping);
  pair("task_arithmetic", "task_arithmetic", base, models(PAIR, "weight: 1"));
  pair("linear", "linear", "", models(PAIR, "weight: 1"));
  pair("slerp", "slerp", `base_model: ../models/${first}\n`, models([second]), "t: 0.5");

  for (const alpha of removalAlphas(quick)) {
    const remove = (row: string, body: string, parameters?: string) =>
      merges.push(merge("removal", row, alpha, row, base, body, parameters));
    const weighted = models(["unwanted"], `weight: ${-alpha}`);
    remove("gradient_matching", weighted, damping);
    remove("task_arithmetic", weighted);
    remove("elastic_weight_removal", models(["unwanted"], `weight: ${-alpha}`, TASK_VECTOR_FISHER));
  }
  return merges;
}

function four(
  row: string,
  alpha: number | undefined,
  method: string,
  head: string,
  body: string,
  parameters?: string,
): DemoMerge {
  return merge("four tasks", row, alpha, method, head, body, parameters);
}

function merge(
  experiment: DemoMerge["experiment"],
  row: string,
  alpha: number | undefined,
  method: string,
  head: string,
  body: string,
  parameters?: string,
): DemoMerge {
  const words = [experiment, row, ...(alpha === undefined ? [] : [String(alpha)])];
  return {
    id: words.join(" ").replace(/[^\w.]+/g, "-"),
    experiment,
    row,
    alpha,
    recipe:
      `merge_method: ${method}\n${head}models:\n${body}` +
      `${parameters === undefined ? "" : `parameters: { ${parameters} }\n`}dtype: float32\n`,
  };
}

function models(names: readonly string[], parameters?: string, fisher?: string): string {
  return names
    .map((name) => {
      const lines = [`  - model: ../models/${name}`];
      if (fisher !== undefined) lines.push(`    fisher: { file: ../models/${name}/${fisher} }`);
      if (parameters !== undefined) lines.push(`    parameters: { ${parameters} }`);
      return `${lines.join("\n")}\n`;
    })
    .join("");
}
