import type { LayerPosition } from "./resolve.js";

/** Components of tensor names that are followed by the number of a layer, over the model families in use. */
const STACK_NAMES = new Set([
  "layers",
  "layer",
  "h",
  "block",
  "blocks",
  "resblocks",
  "transformer_blocks",
  "single_transformer_blocks",
  "decoder_layers",
  "encoder_layers",
]);

const NUMBER = /^(?:0|[1-9]\d{0,8})$/;

/** A stack of layers, such as `model.layers`, and how many layers it has. */
export interface LayerStack {
  /** What stands before the number of the layer, without the dot. */
  readonly prefix: string;
  readonly count: number;
}

/**
 * The stacks of layers in a model, in the order in which their tensors come. A layer is a decimal number right after a word such as
 * `layers`, `h` or `block`, the first in the name: the experts of a layer, or T5's `block.0.layer.1`, are no layers of their own.
 * The encoder and the decoder of a model are stacks of their own. A stack has as many layers as its highest number says.
 */
export function findLayers(names: Iterable<string>): readonly LayerStack[] {
  const counts = new Map<string, number>();
  for (const name of names) {
    const layer = split(name);
    if (layer === undefined) continue;
    counts.set(layer.prefix, Math.max(counts.get(layer.prefix) ?? 0, layer.index + 1));
  }
  return [...counts].map(([prefix, count]) => ({ prefix, count }));
}

/** The place of a tensor in its stack; undefined for what stands outside the layers (embeddings, final norm, head). */
export function layerOf(name: string, stacks: readonly LayerStack[]): LayerPosition | undefined {
  const layer = split(name);
  if (layer === undefined) return undefined;
  const stack = stacks.find(({ prefix }) => prefix === layer.prefix);
  return stack && { index: layer.index, count: stack.count };
}

function split(name: string): { prefix: string; index: number } | undefined {
  const parts = name.split(".");
  const at = parts.findIndex(
    (part, index) => NUMBER.test(part) && STACK_NAMES.has(parts[index - 1] ?? ""),
  );
  return at < 0 ? undefined : { prefix: parts.slice(0, at).join("."), index: Number(parts[at]) };
}
