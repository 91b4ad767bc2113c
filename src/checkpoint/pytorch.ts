import type { ByteSource } from "../bytes/source.js";
import { CheckpointError } from "../errors.js";
import type { TensorEntry } from "./checkpoint.js";

/** What a PyTorch file holds. */
export interface PytorchContent {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly aliases: ReadonlyMap<string, string>;
  readonly metadata: Readonly<Record<string, string>>;
}

export async function openPytorch(source: ByteSource): Promise<PytorchContent> {
  throw new CheckpointError({ what: "PyTorch files are not supported yet", where: source.name });
}
