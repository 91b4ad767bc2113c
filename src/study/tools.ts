import type { FisherOptions } from "../estimate/fisher.js";
import type { FinetuneControl } from "../train/finetune.js";
import type { FinetuneOptions } from "../train/settings.js";
import type { EvaluationRequest, Score } from "./evaluator.js";
import type { MismatchFigures, MismatchRequest } from "./mismatch.js";

/** What a study has done for it. Each is a command of its own too; tests put others in their place. */
export interface StudyTools {
  /** Writes a fine-tuned model to `out`. */
  readonly finetune: (options: FinetuneOptions, control: FinetuneControl) => Promise<unknown>;
  /** Writes a Fisher file to `out`. */
  readonly estimateFisher: (options: FisherOptions) => Promise<unknown>;
  /** Carries out a recipe into a folder. */
  readonly merge: (
    recipe: string,
    out: string,
    options: { readonly workers?: number | undefined; readonly signal?: AbortSignal | undefined },
  ) => Promise<unknown>;
  readonly evaluate: (
    request: EvaluationRequest,
    control: { readonly signal?: AbortSignal | undefined },
  ) => Promise<Score>;
  /** How many evaluations may go on side by side. */
  readonly evaluations: number;
  /** Absent: the mismatch is not measured. */
  readonly measureMismatch?:
    | ((
        request: MismatchRequest,
        control: { readonly signal?: AbortSignal | undefined },
      ) => Promise<MismatchFigures>)
    | undefined;
  /** Whether a model predicts classes, which it does where this is absent, or tokens. */
  readonly predicts?: ((model: string) => "classes" | "tokens") | undefined;
  /** Gives memory back. */
  readonly release: () => Promise<void>;
}

/** The tools that there are. Heavy modules are loaded when they are first used, one after the other. */
export async function standardTools(options: {
  readonly threads?: number | undefined;
  readonly device?: "cpu" | "webgpu" | "wasm" | undefined;
}): Promise<StudyTools> {
  const { finetune } = await import("../train/finetune.js");
  const { estimateFisher } = await import("../estimate/fisher.js");
  const { merge } = await import("../run/merge.js");
  const { EvaluatorPool } = await import("./evaluator-pool.js");
  const { MismatchMeter } = await import("./mismatch.js");
  const { networkOf } = await import("../architectures/index.js");
  const { readConfig } = await import("../model/open.js");
  const evaluators = new EvaluatorPool(options);
  const meter = new MismatchMeter(options);
  return {
    finetune,
    estimateFisher,
    merge,
    evaluate: (request, control) => evaluators.evaluate(request, control),
    evaluations: evaluators.size,
    measureMismatch: (request, control) => meter.measure(request, control),
    predicts: (model) =>
      networkOf(readConfig(model)).task === "classification" ? "classes" : "tokens",
    release: async () => {
      await evaluators.close();
      await meter.close();
    },
  };
}
