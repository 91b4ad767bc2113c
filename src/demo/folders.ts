import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../checkpoint/open.js";
import { readTensor } from "../checkpoint/read.js";
import { writeSafetensors } from "../checkpoint/write.js";
import { decode, encode } from "../dtypes/codec.js";
import { isFloat } from "../dtypes/dtype.js";
import { CheckpointError } from "../errors.js";
import {
  FISHER_FILE,
  formatFisherMetadata,
  weightsFingerprint,
  type FisherMetadata,
} from "../fisher/format.js";
import { VERSION } from "../version.js";
import type { Network } from "./network.js";
import { fisher, type Examples } from "./softmax.js";
import type { DemoModel } from "./world.js";

/** The Fisher of a network whose weights are a task vector, which elastic weight removal asks for. */
export const TASK_VECTOR_FISHER = "fisher.task-vector.safetensors";

/** Writes a model as Hugging Face libraries lay one out: config.json, model.safetensors in float32, and its Fisher beside. */
export async function writeModel(folder: string, network: Network, model: DemoModel) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), `${JSON.stringify(network.config, null, 2)}\n`);
  const weights = join(folder, "model.safetensors");
  writeSafetensors(weights, toTensors(network, model.theta));
  const checkpoint = await openCheckpoint(weights);
  const fingerprint = weightsFingerprint(checkpoint);
  checkpoint.close();
  writeFisher(join(folder, FISHER_FILE), network, model, model.fisher, fingerprint);
}

/** Writes the Fisher at θ_t − θ₀ beside the weights of an expert. */
export function writeTaskVectorFisher(
  folder: string,
  network: Network,
  model: DemoModel & { readonly train: Examples },
  base: DemoModel,
): void {
  const difference = model.theta.map((x, i) => x - (base.theta[i] ?? NaN));
  const values = fisher(difference, model.train.features, network.classes);
  writeFisher(join(folder, TASK_VECTOR_FISHER), network, model, values, undefined);
}

function writeFisher(
  path: string,
  network: Network,
  { name, trainSize }: DemoModel,
  values: Float64Array,
  weights: string | undefined,
): void {
  const metadata: FisherMetadata = {
    trainSize,
    examples: trainSize,
    estimator: "gradients",
    labels: "exact",
    loss: "cross_entropy",
    model: name,
    createdWith: `gradmerge ${VERSION}`,
    weights,
  };
  writeSafetensors(path, toTensors(network, values), formatFisherMetadata(metadata));
}

function toTensors(network: Network, vector: Float64Array) {
  return network.tensors(vector).map(({ name, shape, values }) => ({
    name,
    shape,
    dtype: "F32" as const,
    data: encode("F32", values),
  }));
}

/** The weights in a folder, as one vector. */
export async function readWeights(folder: string, network: Network): Promise<Float64Array> {
  const checkpoint = await openCheckpoint(folder);
  try {
    return network.vector((name) => {
      const tensor = checkpoint.tensors.get(name);
      if (tensor === undefined || !isFloat(tensor.dtype)) {
        throw new CheckpointError({
          what: "A tensor of the demo is missing",
          where: folder,
          got: name,
        });
      }
      return decode(tensor.dtype, readTensor(tensor));
    });
  } finally {
    checkpoint.close();
  }
}
