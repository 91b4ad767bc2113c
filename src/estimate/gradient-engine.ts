import { availableParallelism } from "node:os";
import type { Network } from "../architectures/architecture.js";
import { type Batch, bucketLengths, planBatches } from "../data/batches.js";
import type { EncodedExample } from "../data/example.js";
import { NumericError } from "../errors.js";
import { batchFeeds } from "../model/feeds.js";
import type { Model } from "../model/open.js";
import type { WorkStep } from "../report/work.js";
import type { Device } from "../runtime/session.js";
import { WorkerThread } from "../runtime/worker-thread.js";
import type { GradientReply, GradientRequest, GradientSetup, Shared } from "./gradient-messages.js";
import { lossFeeds } from "./loss-feeds.js";
import { Meter } from "./meter.js";
import { abandonTurns } from "./turn.js";
import { shapeOf } from "./whole.js";

export interface EngineOptions {
  /** As many as processors, at most 4, by default; each computes with a network of its own. */
  readonly threads?: number | undefined;
  readonly device?: Device | undefined;
  /** Examples of one micro-batch; by default by length. */
  readonly batch?: number | undefined;
  readonly onProgress?: ((step: WorkStep) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The weights of a network at one point, by the network's names of its parameters. */
export type WeightsAt = (parameter: string) => Float32Array;

/** A loss and its gradient at one point. */
export interface LossGradient {
  readonly examples: number;
  /** Σₙ ℓₙ over the examples, in nats. */
  readonly loss: number;
  /** ∂ Σₙ ℓₙ / ∂θ of a parameter by the network's name of it, row-major; zeros where the loss does not depend on it. */
  read(parameter: string): Float64Array;
}

type Thread = WorkerThread<GradientSetup, GradientRequest, GradientReply>;

/** Places of a micro-batch, examples × length, and the most examples: enough for fast products, little enough for memory. */
const BATCH_PLACES = 2048;
const MOST_EXAMPLES = 32;

/**
 * Losses of one network and their gradients, at any weights and on any examples: ℓ = −ln p(y | x) with the observed label, for
 * language models summed over the predicted tokens of a sequence.
 *
 * Gradients are summed in float32 within a micro-batch and in float64 over micro-batches, in their order whatever the number of
 * threads: the same weights and examples give the same bytes. Threads and their sessions are kept until `close`.
 */
export class GradientEngine {
  readonly #network: Network;
  readonly #setup: GradientSetup;
  readonly #options: EngineOptions;
  readonly #workers: Thread[] = [];
  #points = 0;

  /** @param model any model with this network: its configuration is read, not its weights */
  constructor(model: Pick<Model, "folder" | "network">, options: EngineOptions = {}) {
    this.#network = model.network;
    this.#setup = { folder: model.folder, device: options.device ?? "cpu" };
    this.#options = options;
  }

  /**
   * The summed loss and its gradient at a point.
   * @throws NumericError where a loss or a gradient is not finite; RuntimeError where the runtime fails
   */
  async gradient(
    weights: WeightsAt,
    examples: readonly EncodedExample[],
    stage = "gradient",
  ): Promise<LossGradient> {
    const sums = this.#allocate(8);
    const loss = await this.#sweep(weights, examples, stage, sums);
    for (const [name, buffer] of Object.entries(sums)) checkFinite(name, new Float64Array(buffer));
    return {
      examples: examples.length,
      loss,
      read: (parameter) => {
        const buffer = sums[parameter];
        if (buffer === undefined) throw new RangeError(`the network has no parameter ${parameter}`);
        return new Float64Array(buffer);
      },
    };
  }

  /** The summed loss alone, Σₙ ℓₙ, for a third of the price. Errors as `gradient`. */
  async loss(
    weights: WeightsAt,
    examples: readonly EncodedExample[],
    stage = "loss",
  ): Promise<number> {
    return this.#sweep(weights, examples, stage, undefined);
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((worker) => worker.close()));
  }

  async #sweep(
    weightsAt: WeightsAt,
    examples: readonly EncodedExample[],
    stage: string,
    sums: Shared | undefined,
  ): Promise<number> {
    const { threads = Math.min(4, availableParallelism()), signal } = this.#options;
    const batches = planOf(examples, this.#options.batch);
    const weights = this.#allocate(4);
    for (const [name, buffer] of Object.entries(weights)) {
      new Float32Array(buffer).set(weightsAt(name));
    }
    const point = this.#points++;
    const turn = new SharedArrayBuffer(4);
    const losses = new Float64Array(batches.length);
    const meter = new Meter(stage, examples.length, 0, this.#options);
    let next = 0;
    const serve = async (worker: Thread): Promise<void> => {
      for (let number = next++; number < batches.length; number = next++) {
        signal?.throwIfAborted();
        const batch = batches[number];
        if (batch === undefined) return;
        const chosen = batch.examples.flatMap((place) => examples[place] ?? []);
        const shape = shapeOf(batch, chosen);
        const { loss } = await worker.ask({
          point,
          weights,
          sums,
          turn,
          number,
          shape,
          feeds: {
            ...batchFeeds(this.#network, chosen, shape),
            ...lossFeeds(this.#network, chosen, shape),
          },
          where: chosen.map(({ where }) => where),
        });
        losses[number] = loss;
        meter.advance(chosen.length);
      }
    };
    try {
      await Promise.all(this.#start(Math.max(1, Math.min(threads, batches.length))).map(serve));
    } catch (error) {
      abandonTurns(new Int32Array(turn));
      await this.close();
      throw error;
    }
    meter.finish();
    return losses.reduce((sum, one) => sum + one, 0);
  }

  #start(threads: number) {
    while (this.#workers.length < threads) {
      this.#workers.push(
        new WorkerThread(new URL("../estimate/gradient-worker.js", import.meta.url), this.#setup),
      );
    }
    return this.#workers.slice(0, threads);
  }

  #allocate(bytes: number): Shared {
    return Object.fromEntries(
      this.#network.parameters.map(({ name, shape }) => [
        name,
        new SharedArrayBuffer(bytes * shape.reduce((a, b) => a * b, 1)),
      ]),
    );
  }
}

function planOf(examples: readonly EncodedExample[], batch: number | undefined): readonly Batch[] {
  const lengths = examples.map(({ inputIds }) => Math.max(1, inputIds.length));
  const longest = lengths.reduce((a, b) => Math.max(a, b), 1);
  return planBatches(lengths, {
    buckets: bucketLengths(longest),
    ...(batch === undefined
      ? { batchTokens: BATCH_PLACES, maxBatchSize: MOST_EXAMPLES }
      : { batchSize: batch }),
  });
}

function checkFinite(name: string, sums: Float64Array): void {
  const bad = sums.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  throw new NumericError({
    what: "a gradient is not finite",
    where: `${name}, element ${bad}`,
    got: String(sums[bad]),
    hint: "gradients overflow float32: the model's predictions are extreme",
  });
}
