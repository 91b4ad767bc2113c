import type { EvaluationRequest } from "./evaluator.js";
import type { Curvature } from "./merges.js";

/** A merge whose gradient mismatch is to be measured. */
export interface MismatchRequest {
  /** The folder of the merged model. */
  readonly merged: string;
  readonly base: { readonly path: string; readonly fisher?: Curvature | undefined };
  readonly tasks: readonly {
    readonly name: string;
    /** The folder of the expert. */
    readonly model: string;
    /** αₜ */
    readonly weight: number;
    readonly data: string;
    readonly columns: EvaluationRequest["columns"];
    /** Nₜ: gradients are those of the loss summed over so many examples. */
    readonly trainSize: number;
  }[];
  /** Only the first so many examples of each task. */
  readonly examples?: number | undefined;
  readonly maxLength?: number | undefined;
  readonly threads?: number | undefined;
}

export interface MismatchFigures {
  /** ‖Σ αₜ [∇ℓₜ(θ̄) − ∇ℓₜ(θₜ)]‖ */
  readonly mismatch: number;
  /** ‖H₀(θ̄ − θ₀) + Σ αₜ ∇ℓₜ(θ̄)‖, where the base has a curvature. */
  readonly residual?: number | undefined;
  /** The mismatch by layer, in the order of the network. */
  readonly layers: Readonly<Record<string, number>>;
}
