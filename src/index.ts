/**
 * gradmerge as a library: what the command line itself calls.
 *
 *     import { merge } from "gradmerge";
 *     const { report, files } = await merge("recipe.yaml", "merged");
 */
export { merge, loadRecipe, planRecipe, type PlanOptions } from "./run/merge.js";
export { runPlan, Interrupted, type RunOptions } from "./run/run.js";
export type { MergeEvent, MergeResult } from "./run/events.js";
export { explainTensor, type Explanation } from "./run/explain.js";
export { parseRecipe } from "./recipe/parse.js";
export { recipeJsonSchema } from "./recipe/schema.js";
export type { Recipe } from "./recipe/recipe.js";
export type { Plan, PlannedTensor } from "./plan/plan.js";
export { methods, methodNamed } from "./methods/index.js";
export { inspectCheckpoint, type CheckpointSummary, type TensorSummary } from "./report/inspect.js";
export {
  compareCheckpoints,
  type CheckpointComparison,
  type CompareOptions,
  type Difference,
  type TensorComparison,
} from "./report/compare.js";
export { openCheckpoint } from "./checkpoint/open.js";
export { readElements, readTensor } from "./checkpoint/read.js";
export { writeSafetensors } from "./checkpoint/write.js";
export type { Checkpoint, TensorEntry } from "./checkpoint/checkpoint.js";
export {
  FISHER_FILE,
  formatFisherMetadata,
  parseFisherMetadata,
  weightsFingerprint,
  type FisherMetadata,
} from "./fisher/format.js";
export * from "./errors.js";
export { VERSION } from "./version.js";
