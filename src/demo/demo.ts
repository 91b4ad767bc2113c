import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { OutputError } from "../errors.js";
import { readWeights, writeModel, writeTaskVectorFisher } from "./folders.js";
import { PAIR, demoMerges, type DemoMerge } from "./merges.js";
import { inParallel, runMerge } from "./run-merge.js";
import { accuracy, loss } from "./softmax.js";
import { createWorld, retrain, trainJointly, type World } from "./world.js";

export interface DemoOptions {
  /** The folder to write; one that an earlier demo wrote is written anew. */
  readonly out: string;
  /** A smaller world and fewer merges. */
  readonly quick: boolean;
  /** Same seed, same figures. */
  readonly seed: number;
  /** Called with a line on what is being done. */
  readonly onStage?: (text: string) => void;
}

/** How good some weights are. */
export interface Scores {
  /** ‖θ − target‖ / ‖θ₀ − target‖: 0 is the target, 1 as far as the base. */
  readonly distance: number;
  /** Share of test texts that are classified wrongly, mean of the tasks. For removal: of the general texts. */
  readonly error: number;
  /** Mean loss of a test text, in nats, mean of the tasks. */
  readonly loss: number;
  /** For removal: the error on the texts that were removed. */
  readonly unwantedError?: number | undefined;
}

export interface DemoScore extends Omit<DemoMerge, "recipe">, Scores {}

/** Everything that the demo found out: plain data, written to results.json. */
export interface DemoResults {
  readonly seed: number;
  readonly quick: boolean;
  readonly weights: number;
  readonly trainSizes: Readonly<Record<string, number>>;
  readonly merges: readonly DemoScore[];
  /** Models that no merge made, per experiment: the base, the experts, the target. */
  readonly references: readonly (Scores & {
    readonly experiment: DemoMerge["experiment"];
    readonly row: string;
  })[];
  readonly seconds: number;
}

/** Marks a folder as one that a demo wrote, and may therefore write anew. */
const MARKER = ".gradmerge-demo";

/**
 * Makes a small world, trains its models to their exact optima, writes them as folders, merges them by every method through the command line, and
 * measures how far each merge is from the model that joint training (or, for removal, training again) gives.
 *
 * @throws OutputError where the folder exists and is not a demo's.
 */
export async function runDemo(options: DemoOptions): Promise<DemoResults> {
  const { out, quick, seed, onStage } = options;
  const start = performance.now();
  prepareFolder(out);

  onStage?.("training a base, four experts and the targets of merging, to their exact optima");
  const world = createWorld(seed, quick);
  const { network, base, tasks, unwanted } = world;
  const pair = tasks.filter(({ name }) => PAIR.includes(name));
  const targets: Record<DemoMerge["experiment"], Float64Array> = {
    "four tasks": trainJointly(world, tasks),
    "two tasks": trainJointly(world, pair),
    removal: retrain(world),
  };

  await writeModel(join(out, "models", "base"), network, base);
  for (const task of [...tasks, unwanted]) {
    const folder = join(out, "models", task.name);
    await writeModel(folder, network, task);
    writeTaskVectorFisher(folder, network, task, base);
  }

  const merges = demoMerges(quick);
  onStage?.(`merging: ${merges.length} recipes, each by \`gradmerge merge\``);
  mkdirSync(join(out, "recipes"));
  mkdirSync(join(out, "merged"));
  const score = (experiment: DemoMerge["experiment"], theta: Float64Array): Scores => {
    const target = targets[experiment];
    const distance = gap(theta, target) / gap(base.theta, target);
    if (experiment === "removal") {
      return {
        distance,
        ...testOf(world, theta, [world.general]),
        unwantedError: testOf(world, theta, [unwanted]).error,
      };
    }
    return { distance, ...testOf(world, theta, experiment === "two tasks" ? pair : tasks) };
  };
  const scores = await inParallel(
    merges,
    Math.min(4, availableParallelism()),
    async ({ recipe, ...merge }): Promise<DemoScore> => {
      const file = join(out, "recipes", `${merge.id}.yaml`);
      const folder = join(out, "merged", merge.id);
      writeFileSync(file, recipe);
      await runMerge(file, folder);
      return { ...merge, ...score(merge.experiment, await readWeights(folder, network)) };
    },
  );

  const reference = (experiment: DemoMerge["experiment"], row: string, theta: Float64Array) => ({
    experiment,
    row,
    ...score(experiment, theta),
  });
  const results: DemoResults = {
    seed,
    quick,
    weights: network.weights,
    trainSizes: Object.fromEntries(
      [base, ...tasks, unwanted].map(({ name, trainSize }) => [name, trainSize]),
    ),
    merges: scores,
    references: [
      reference("four tasks", "joint training", targets["four tasks"]),
      ...tasks.map(({ name, theta }) => reference("four tasks", `expert ${name}`, theta)),
      reference("four tasks", "base", base.theta),
      reference("two tasks", "joint training", targets["two tasks"]),
      reference("two tasks", "base", base.theta),
      reference("removal", "trained again without", targets.removal),
      reference("removal", "base", base.theta),
    ],
    seconds: (performance.now() - start) / 1000,
  };
  writeFileSync(join(out, "results.json"), `${JSON.stringify(results, null, 2)}\n`);
  return results;
}

function prepareFolder(out: string): void {
  if (existsSync(out) && readdirSync(out).length > 0) {
    if (!existsSync(join(out, MARKER))) {
      throw new OutputError({
        what: "The folder for the demo is not empty, and no earlier demo wrote it",
        where: out,
        hint: "Choose another with --out.",
      });
    }
    rmSync(out, { recursive: true });
  }
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, MARKER), "");
}

/** ‖a − b‖ */
function gap(a: Float64Array, b: Float64Array): number {
  return Math.hypot(...a.map((x, i) => x - (b[i] ?? NaN)));
}

function testOf(
  { network }: World,
  theta: Float64Array,
  sets: readonly Pick<World["general"], "test">[],
): Pick<Scores, "error" | "loss"> {
  const mean = (values: readonly number[]) => values.reduce((x, y) => x + y, 0) / values.length;
  return {
    error: mean(sets.map(({ test }) => 1 - accuracy(theta, test, network.classes))),
    loss: mean(sets.map(({ test }) => loss(theta, test, network.classes) / test.labels.length)),
  };
}
