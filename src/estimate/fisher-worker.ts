import { NumericError } from "../errors.js";
import { openModel } from "../model/open.js";
import { readWeights } from "../model/weights.js";
import { serve } from "../runtime/serve.js";
import { type FeedData, Session } from "../runtime/session.js";
import { buildFisherGraph, OUTPUTS } from "./fisher-graph.js";
import type { FisherReply, FisherRequest, FisherSetup } from "./fisher-messages.js";

/** Sums squared gradients of whole networks, batch by batch, into totals that threads share. */
serve<FisherSetup, FisherRequest, FisherReply>(async (setup) => {
  const model = await openModel(setup.folder);
  const { network } = model;
  const weights: Record<string, Float32Array> = {};
  for (const [name, entry] of model.tensors) weights[name] = readWeights(entry);
  model.close();
  const totals = new Map(
    Object.entries(setup.totals).map(([name, buffer]) => [name, new Float64Array(buffer)]),
  );
  const turn = new Int32Array(setup.turn);
  // Squares are copied out of the runtime into the same arrays every time.
  const into: Record<string, Float32Array> = {};
  const transposed = new Map<string, readonly [number, number]>();
  let current: { readonly key: string; readonly session: Session } | undefined;

  return async (request) => {
    const start = performance.now();
    const { shape } = request;
    const key = `${shape.size},${shape.length},${shape.decoderLength}`;
    if (current?.key !== key) {
      // One at a time: a session keeps the memory of its activations.
      await current?.session.release();
      const { compiled, turned } = buildFisherGraph(network, shape, setup.labels, setup.draws);
      for (const [name, sides] of turned) transposed.set(name, sides);
      for (const { name, tensor } of compiled.outputs) {
        if (!name.startsWith(OUTPUTS.dense(""))) continue;
        into[name] ??= new Float32Array(tensor.shape.reduce((a, b) => a * b, 1));
      }
      const session = await Session.create(compiled, {
        threads: setup.threads,
        device: setup.device,
      });
      current = { key, session };
    }
    for (const [k, pass] of request.passes.entries()) {
      const outputs = await current.session.run({ ...weights, ...request.feeds, ...pass }, into);
      checkFinite(outputs[OUTPUTS.watch], request.where);
      waitForTurn(turn, request.turn + k);
      for (const [name, total] of totals) add(outputs, name, total, transposed.get(name));
      Atomics.store(turn, 0, request.turn + k + 1);
      Atomics.notify(turn, 0);
    }
    return { seconds: (performance.now() - start) / 1000 };
  };
});

function waitForTurn(turn: Int32Array, mine: number): void {
  for (;;) {
    const now = Atomics.load(turn, 0);
    if (now === mine) return;
    Atomics.wait(turn, 0, now);
  }
}

function add(
  outputs: Readonly<Record<string, FeedData>>,
  name: string,
  total: Float64Array,
  sides: readonly [number, number] | undefined,
): void {
  const dense = outputs[OUTPUTS.dense(name)];
  if (dense instanceof Float32Array) {
    if (sides === undefined) addDense(total, dense);
    else addTransposed(total, dense, sides);
  }
  const rows = outputs[OUTPUTS.rows(name)];
  const ids = outputs[OUTPUTS.ids(name)];
  if (rows instanceof Float32Array && ids instanceof BigInt64Array) addRows(total, rows, ids);
}

function addDense(total: Float64Array, more: Float32Array): void {
  for (let i = 0; i < total.length; i++) total[i] = (total[i] ?? 0) + (more[i] ?? 0);
}

/** Adds the transpose of [K, M] to [M, K], in squares that stay in cache. */
function addTransposed(
  total: Float64Array,
  more: Float32Array,
  [rows, columns]: readonly [number, number],
): void {
  const side = 64;
  for (let top = 0; top < rows; top += side) {
    const bottom = Math.min(rows, top + side);
    for (let left = 0; left < columns; left += side) {
      const right = Math.min(columns, left + side);
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < right; j++) {
          const at = i * columns + j;
          total[at] = (total[at] ?? 0) + (more[j * rows + i] ?? 0);
        }
      }
    }
  }
}

function addRows(total: Float64Array, rows: Float32Array, ids: BigInt64Array): void {
  const width = rows.length / ids.length;
  for (let l = 0; l < ids.length; l++) {
    const base = Number(ids[l] ?? 0n) * width;
    const from = l * width;
    for (let i = 0; i < width; i++) {
      total[base + i] = (total[base + i] ?? 0) + (rows[from + i] ?? 0);
    }
  }
}

/** @throws NumericError that names the example whose logits are not finite */
function checkFinite(watch: FeedData | undefined, where: readonly string[]): void {
  if (!(watch instanceof Float32Array)) return;
  const bad = where.findIndex((_, n) => !Number.isFinite(watch[n]));
  if (bad < 0) return;
  throw new NumericError({
    what: "the model gives no finite prediction",
    where: where[bad],
    got: String(watch[bad]),
    hint: "the weights may have diverged, or overflow float32",
  });
}
