import type { DataOptions } from "../data/options.js";
import type { EncodedExample } from "../data/example.js";
import { ModelError } from "../errors.js";
import { type EngineOptions, GradientEngine, type WeightsAt } from "../estimate/gradient-engine.js";
import { loadExamples } from "../model/examples.js";
import { type Model, openModel } from "../model/open.js";
import { readWeights } from "../model/weights.js";

/** A task with its data. */
export interface TaskData {
  readonly name: string;
  /** The folder of the expert, or of any model with its network and tokenizer. */
  readonly model: string;
  readonly data: string;
  /** Nₜ; by default the number of examples used. */
  readonly trainSize?: number | undefined;
  /** Which columns of the file, where they are not those of all tasks. */
  readonly columns?: Pick<DataOptions, "textColumn" | "pairColumn" | "labelColumn" | "labelFile">;
}

export interface TaskGradientOptions extends EngineOptions, Omit<DataOptions, "signal"> {
  readonly maxLength?: number | undefined;
}

/** The loss of a task and its gradient at one point. */
export interface TaskGradient {
  /** Nats for each example. */
  readonly meanLoss: number;
  /** ∇ℓ̄ₜ, ℓ̄ₜ = (Nₜ/n) Σ ℓ over the n examples, by the name of the tensor in the base; undefined for tensors that are no parameter. */
  read(tensor: string): Float64Array | undefined;
}

interface Loaded {
  readonly task: TaskData;
  readonly examples: readonly EncodedExample[];
  readonly trainSize: number;
}

/**
 * The summed losses ℓ̄ₜ of several tasks of one network, and their gradients at any weights. Examples are loaded once; threads and
 * their sessions are kept until `close`.
 */
export class TaskGradients {
  readonly #base: Model;
  readonly #engine: GradientEngine;
  readonly #tasks: readonly Loaded[];

  private constructor(base: Model, engine: GradientEngine, tasks: readonly Loaded[]) {
    this.#base = base;
    this.#engine = engine;
    this.#tasks = tasks;
  }

  /**
   * @param base the folder of the base, whose names of tensors are those of all results
   * @throws ModelError, DataError, CheckpointError where a model or a file does not fit, or the networks differ
   */
  static async open(
    base: string,
    tasks: readonly TaskData[],
    options: TaskGradientOptions = {},
  ): Promise<TaskGradients> {
    const model = await openModel(base);
    try {
      const loaded: Loaded[] = [];
      for (const task of tasks) {
        const expert = await openModel(task.model);
        try {
          checkSameNetwork(model, expert);
          const { examples } = await loadExamples(expert, task.data, {
            ...options,
            ...task.columns,
            needLabels: true,
          });
          loaded.push({ task, examples, trainSize: task.trainSize ?? examples.length });
        } finally {
          expert.close();
        }
      }
      return new TaskGradients(model, new GradientEngine(model, options), loaded);
    } catch (error) {
      model.close();
      throw error;
    }
  }

  /** How many examples of a task are used, and Nₜ. */
  sizes(t: number): { readonly examples: number; readonly trainSize: number } {
    const { examples, trainSize } = this.#task(t);
    return { examples: examples.length, trainSize };
  }

  /** The tensors of the base that have gradients. */
  get tensors(): ReadonlySet<string> {
    return new Set([...this.#base.tensors.values()].map(({ name }) => name));
  }

  /** At the weights of a model of the same network, by its folder. */
  async atModel(t: number, folder: string, stage?: string): Promise<TaskGradient> {
    const model = await openModel(folder);
    try {
      checkSameNetwork(this.#base, model);
      return await this.#gradient(t, weightsOf(model), stage);
    } finally {
      model.close();
    }
  }

  /** At weights by the names of the base's tensors. */
  async at(
    t: number,
    weights: (tensor: string) => Float32Array,
    stage?: string,
  ): Promise<TaskGradient> {
    return this.#gradient(t, this.#byTensor(weights), stage);
  }

  /** The mean loss alone, in nats for each example, at weights by the names of the base's tensors. */
  async lossAt(
    t: number,
    weights: (tensor: string) => Float32Array,
    stage?: string,
  ): Promise<number> {
    const { examples } = this.#task(t);
    return (await this.#engine.loss(this.#byTensor(weights), examples, stage)) / examples.length;
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    this.#base.close();
    await this.#engine.close();
  }

  async #gradient(t: number, weights: WeightsAt, stage?: string): Promise<TaskGradient> {
    const { examples, trainSize } = this.#task(t);
    const result = await this.#engine.gradient(weights, examples, stage);
    const parameterOf = new Map([...this.#base.tensors].map(([name, entry]) => [entry.name, name]));
    const factor = trainSize / examples.length;
    return {
      meanLoss: result.loss / examples.length,
      read: (tensor) => {
        const parameter = parameterOf.get(tensor);
        if (parameter === undefined) return undefined;
        return result.read(parameter).map((value) => value * factor);
      },
    };
  }

  #byTensor(weights: (tensor: string) => Float32Array): WeightsAt {
    return (parameter) => {
      const entry = this.#base.tensors.get(parameter);
      if (entry === undefined) throw new RangeError(`the network has no parameter ${parameter}`);
      return weights(entry.name);
    };
  }

  #task(t: number): Loaded {
    const task = this.#tasks[t];
    if (task === undefined) throw new RangeError(`there is no task ${t}`);
    return task;
  }
}

function weightsOf(model: Model): WeightsAt {
  return (parameter) => {
    const entry = model.tensors.get(parameter);
    if (entry === undefined) throw new RangeError(`the network has no parameter ${parameter}`);
    return readWeights(entry);
  };
}

function checkSameNetwork(base: Model, other: Model): void {
  const shapes = new Map(base.network.parameters.map(({ name, shape }) => [name, shape.join()]));
  const differing = other.network.parameters.find(
    ({ name, shape }) => shapes.get(name) !== shape.join(),
  );
  const same =
    differing === undefined &&
    other.network.parameters.length === shapes.size &&
    other.network.task === base.network.task;
  if (same) return;
  throw new ModelError({
    what: "the models are not of one network",
    where: `${base.name} and ${other.name}`,
    got: differing === undefined ? "other parameters" : `another ${differing.name}`,
    expected: "models that were fine-tuned from this base, with heads of the same shape",
  });
}
