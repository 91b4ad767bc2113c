import { Emitter } from "../onnx/emit.js";
import type { Shape } from "../tensor.js";

/**
 * Emits a chain of cheap operators tile by tile, so that what one writes and the next reads stays in cache: over whole tensors each
 * would be a pass over memory. `inputs` are seen as [count, ...tile] each; the result has the shape of one of them.
 */
export function inTiles(
  emitter: Emitter,
  inputs: readonly string[],
  count: number,
  tile: Shape,
  chain: (body: Emitter, inputs: readonly string[]) => string,
): string {
  const stacked = inputs.map((one) =>
    emitter.node("Reshape", [one, emitter.integers([count, ...tile])]),
  );
  const body = new Emitter(emitter);
  const names = stacked.map((one) => `${one}/tile`);
  const result = `${stacked[0]}/result`;
  body.rename(chain(body, names), result);
  const tensor = { shape: tile, type: "float32" as const };
  return emitter.node("Scan", stacked, {
    num_scan_inputs: stacked.length,
    body: {
      graph: body.graph(
        names.map((name) => ({ name, tensor })),
        [{ name: result, tensor }],
      ),
    },
  });
}
