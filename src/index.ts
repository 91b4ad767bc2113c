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
export { estimateFisher, type FisherOptions, type FisherResult } from "./estimate/fisher.js";
export {
  fisherFromOptimizer,
  type FromOptimizerOptions,
  type FromOptimizerResult,
} from "./estimate/from-optimizer.js";
export {
  estimateGradient,
  type GradientOptions,
  type GradientResult,
} from "./estimate/gradient.js";
export { diagnose, type DiagnoseOptions } from "./diagnose/diagnose.js";
export type { Diagnosis } from "./diagnose/diagnosis.js";
export { refine, type Refinement, type RefineOptions } from "./diagnose/refine.js";
export { runStudy, type StudyOptions, type StudyOutcome } from "./study/run.js";
export { readResults, type StudyResults } from "./study/results.js";
export { initialParameters } from "./model/initialize.js";
export { finetune, type FinetuneControl } from "./train/finetune.js";
export type { FinetuneOptions } from "./train/settings.js";
export type { FinetuneEvent, FinetuneResult } from "./train/events.js";
export { predict, type NetworkPrediction, type PredictOptions } from "./evaluate/predict.js";
export {
  predictFile,
  type PredictFileOptions,
  type PredictFileResult,
} from "./evaluate/predict-file.js";
export { evaluateModel, type EvaluateOptions, type Evaluation } from "./evaluate/evaluate.js";
export { generate, type GeneratedText, type GenerateOptions } from "./evaluate/generate.js";
export { classificationMetrics } from "./evaluate/classification.js";
export { languageModelMetrics } from "./evaluate/language-model.js";
export { openModel, type Model } from "./model/open.js";
export { loadExamples, type LoadedExamples, type LoadOptions } from "./model/examples.js";
export { readExamples } from "./data/read.js";
export type { DataOptions } from "./data/options.js";
export type { EncodedExample, Example } from "./data/example.js";
export { openTokenizer, type TextTokenizer } from "./data/tokenizer.js";
export { resolveModelFolder } from "./hub/resolve-model.js";
export { resolveDataFile } from "./hub/resolve-data.js";
export type { HubOptions } from "./hub/settings.js";
export { convertLlama2c } from "./checkpoint/convert-llama2c.js";
export * from "./errors.js";
export { VERSION } from "./version.js";
