import { mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { refuseExisting } from "../checkpoint/existing.js";
import { openCheckpoint } from "../checkpoint/open.js";
import type { OutputDType } from "../dtypes/dtype.js";
import { UsageError } from "../errors.js";
import { estimateFisher } from "../estimate/fisher.js";
import { readWeights } from "../model/weights.js";
import type { Recipe } from "../recipe/recipe.js";
import { loadRecipe, merge, planRecipe } from "../run/merge.js";
import { openStart } from "../train/start.js";
import { writeModel } from "../train/write-model.js";
import { dataOf } from "./data-of.js";
import { descend, type Descent, type DescentStep, type Parts } from "./descend.js";
import { type CurvatureAt, JointObjective, Space } from "./joint-objective.js";
import { openProblem, type Problem } from "./problem.js";
import { TaskGradients, type TaskData, type TaskGradientOptions } from "./task-gradients.js";
import { inFloat32 } from "./variants.js";

export interface RefineOptions extends TaskGradientOptions {
  /** The recipe, or its file. */
  readonly recipe: string | Recipe;
  /** The folder to be made. */
  readonly out: string;
  /** Training data of every model of the recipe, by its name there or by the last part of its path. */
  readonly data: Readonly<Record<string, string>>;
  /** The most steps; 5 by default. */
  readonly steps?: number | undefined;
  /** Stops where the scaled residual is this part of the first one; 0.1 by default. */
  readonly tolerance?: number | undefined;
  /**
   * Where the Hessians of the tasks come from: the Fishers of the recipe and `never` anew, estimated `once` at the merged point (the
   * default), or `always`, at every point.
   */
  readonly reexpand?: "never" | "once" | "always" | undefined;
  /** Where merged models are put meanwhile; by default the folder for temporary files. */
  readonly scratch?: string | undefined;
  readonly workers?: number | undefined;
  readonly onStep?: ((step: DescentStep) => void) | undefined;
}

/** What came of it. */
export interface Refinement {
  readonly out: string;
  /** The first one is the merge itself. */
  readonly steps: readonly DescentStep[];
  readonly stopped: Descent["stopped"];
  readonly tasks: readonly {
    readonly name: string;
    readonly examples: number;
    /** The mean loss in nats of the merge, and at the end. */
    readonly loss_before: number;
    readonly loss_after: number;
  }[];
}

/** λ in means of H̄: Fishers of some hundred examples are zero by chance at coordinates where the loss is not flat. */
const DAMPING = 0.01;
/** The longest first step, in lengths of the longest task vector. */
const FIRST_STEP = 0.1;

/**
 * Moves a merge towards what joint training would give: steps on the joint objective of eq. 9 of Daheim et al. 2024,
 *
 *     J(θ) = Σ αₜ ℓ̄ₜ(θ) + ½‖θ − θ₀‖²_{H₀},
 *
 * from the merged point, with gradients and curvatures of the losses there in place of those at the experts (`descend`). Tensors
 * that are no parameters of the network stay as they are merged. Everything is held in memory, about 80 bytes a parameter.
 *
 * @throws UsageError where a task has no data, or weights are negative or differ between tensors, so that there is no joint
 * objective; OutputError where the output exists; and whatever planning, merging, gradients and Fishers throw
 */
export async function refine(options: RefineOptions): Promise<Refinement> {
  refuseExisting(options.out, "folder");
  const recipe = typeof options.recipe === "string" ? loadRecipe(options.recipe) : options.recipe;
  const problem = await openProblem(recipe);
  const scratch = mkdtempSync(join(options.scratch ?? tmpdir(), "gradmerge-refine-"));
  let gradients: TaskGradients | undefined;
  try {
    const alphas = jointWeights(problem);
    const tasks = tasksOf(problem, options);
    const dtype = await outputType(recipe);
    const merged = join(scratch, "merged");
    gradients = await TaskGradients.open(problem.base.path, tasks, options);
    await merge(inFloat32(recipe), merged, { workers: options.workers });

    const space = new Space(problem, gradients.tensors);
    const curvatureAt =
      options.reexpand === "never"
        ? curvatureOf(problem, space)
        : estimatedCurvature({ tasks, options, space, merged, scratch });
    const objective = new JointObjective(space, gradients, alphas, curvatureAt);
    const start = await readPoint(space, merged);
    let before: readonly number[] = [];
    const { theta, steps, stopped } = await descend(objective, start, {
      steps: options.steps ?? 5,
      tolerance: options.tolerance ?? 0.1,
      reexpand: options.reexpand === "always" ? "always" : "once",
      damping: DAMPING,
      radius: FIRST_STEP * space.longestTask,
      onStep: (step) => {
        if (step.step === 0) before = objective.losses;
        options.onStep?.(step);
      },
    });
    await objective.value(theta);
    const after = objective.losses;
    const counts = tasks.map((_, t) => gradients?.sizes(t).examples ?? 0);

    const partial = `${resolve(options.out)}.partial`;
    rmSync(partial, { recursive: true, force: true });
    mkdirSync(dirname(partial), { recursive: true });
    await writePoint(partial, merged, space, theta, dtype);
    renameSync(partial, options.out);
    return {
      out: options.out,
      steps,
      stopped,
      tasks: tasks.map(({ name }, t) => ({
        name,
        examples: counts[t] ?? 0,
        loss_before: before[t] ?? NaN,
        loss_after: after[t] ?? NaN,
      })),
    };
  } finally {
    await gradients?.close();
    problem.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** αₜ, where there is one objective for all tensors. */
function jointWeights({ tensors, tasks, hasCurvature, warnings }: Problem): readonly number[] {
  if (!hasCurvature) {
    throw new UsageError({
      what: "without the curvature of the base nothing holds the weights to it",
      got: warnings.join("; "),
      expected: "Fishers of the base and of every model (gradmerge fisher)",
    });
  }
  return tasks.map(({ name }, t) => {
    const alpha = tensors[0]?.alphas[t] ?? 0;
    const other = tensors.find(({ alphas }) => alphas[t] !== alpha);
    if (other !== undefined) {
      throw new UsageError({
        what: "the weight of a model differs between tensors, so that there is no joint objective",
        where: name,
        got: `${alpha} in ${tensors[0]?.name ?? ""}, ${other.alphas[t] ?? 0} in ${other.name}`,
        expected: "one weight for each model",
      });
    }
    if (alpha < 0) {
      throw new UsageError({
        what: "a model is removed, and a loss that is to be large has no minimum",
        where: name,
        got: `weight ${alpha}`,
        expected: "weights ≥ 0",
      });
    }
    return alpha;
  });
}

function tasksOf(problem: Problem, { data }: RefineOptions): readonly TaskData[] {
  const files = dataOf(problem.tasks, data);
  return problem.tasks.map(({ name, path, trainSize }, t) => {
    const file = files[t];
    if (file !== undefined) return { name, model: path, data: file, trainSize };
    throw new UsageError({
      what: "a task has no data, and the joint objective needs that of every one",
      got: `nothing for ${name}`,
      expected: `--data ${name}=FILE`,
    });
  });
}

/** The type in which the recipe has the merge written. */
async function outputType(recipe: Recipe): Promise<OutputDType | undefined> {
  const { tensors } = await planRecipe(recipe);
  for (const { action } of tensors) if (action.kind !== "copy") return action.output;
  return undefined;
}

async function readPoint(space: Space, folder: string): Promise<Parts> {
  const checkpoint = await openCheckpoint(folder);
  try {
    return space.collect((tensor) => {
      const entry = checkpoint.tensors.get(tensor);
      if (entry === undefined) throw new RangeError(`${folder} has no ${tensor}`);
      return readWeights(entry);
    });
  } finally {
    checkpoint.close();
  }
}

/** Writes the merged model with other values of its parameters. */
async function writePoint(
  folder: string,
  merged: string,
  space: Space,
  theta: Parts,
  dtype: OutputDType | undefined,
): Promise<void> {
  const start = await openStart(merged, undefined);
  try {
    const { tensors } = start.model;
    const values = space.weights(theta);
    const known = new Set(space.tensors.map(({ name }) => name));
    const trained = [...tensors].flatMap(([name, entry]) => (known.has(entry.name) ? [name] : []));
    const weights = (parameter: string): Float32Array => {
      const entry = tensors.get(parameter);
      if (entry === undefined) throw new RangeError(`the network has no parameter ${parameter}`);
      return known.has(entry.name) ? values(entry.name) : readWeights(entry);
    };
    writeModel(folder, start, weights, new Set(trained), dtype, new Map());
  } finally {
    start.model.close();
  }
}

/** Hₜ from the Fishers of the recipe, whatever the point is. */
function curvatureOf(problem: Problem, space: Space): CurvatureAt {
  return async () =>
    problem.tasks.map((_, t) =>
      space.tensors.map((tensor) => {
        const { curvature } = problem.read(tensor);
        return Float64Array.from(curvature?.h[t] ?? []);
      }),
    );
}

/** Hₜ = Nₜ·F estimated at the point, on the data of the task. */
function estimatedCurvature({
  tasks,
  options,
  space,
  merged,
  scratch,
}: {
  readonly tasks: readonly TaskData[];
  readonly options: RefineOptions;
  readonly space: Space;
  readonly merged: string;
  readonly scratch: string;
}): CurvatureAt {
  const { examples, maxLength, textColumn, pairColumn, labelColumn } = options;
  const { threads, device, onProgress, signal } = options;
  const columns = { textColumn, pairColumn, labelColumn };
  const same = { ...columns, examples, maxLength, threads, device, onProgress, signal };
  return async (theta) => {
    const point = mkdtempSync(join(scratch, "point-"));
    const model = join(point, "model");
    await writePoint(model, merged, space, theta, "F32");
    const curvatures: Parts[] = [];
    for (const [t, { data, trainSize }] of tasks.entries()) {
      const out = join(point, `fisher-${t}.safetensors`);
      const { metadata } = await estimateFisher({
        ...same,
        model,
        data,
        out,
        trainSize,
      });
      const fisher = await readPoint(space, out);
      curvatures.push(fisher.map((part) => part.map((value) => value * metadata.trainSize)));
    }
    rmSync(point, { recursive: true });
    return curvatures;
  };
}
