import { writeSync } from "node:fs";
import { fileSource } from "../bytes/file.js";
import type { ByteSource } from "../bytes/source.js";
import { readElements } from "../checkpoint/read.js";
import { DTYPES, byteLength, type DType } from "../dtypes/dtype.js";
import { NumericError, OutputError } from "../errors.js";
import {
  BINS,
  PADDING,
  REFUSED,
  SELECTION_BYTES,
  remainingOf,
  type Kernel,
  type RunKernel,
} from "../formula/kernel.js";
import { locate } from "../formula/locate.js";
import {
  EMPTY_WINDOW,
  refineSelection,
  remainingInTile,
  startSelection,
  type SelectionState,
} from "../formula/select.js";
import { evaluateUniform, exceededLimits, type UniformLookup } from "../formula/uniform.js";
import { bindKernel } from "../formula/wasm.js";
import type { MergeAction, PlannedTensor } from "../plan/plan.js";
import type { Board } from "./board.js";
import type { Job } from "./job.js";
import { SEARCH_VALUES, type Program } from "./program.js";
import { ALL, sinksOf, type Step } from "./schedule.js";

/** One tensor as the passes see it. */
interface Scope {
  readonly step: Step;
  readonly tensor: PlannedTensor;
  readonly action: MergeAction;
  readonly program: Program;
  readonly valueBase: number;
}

/** A tile of it. */
interface Tile {
  /** Within the tensor. */
  readonly index: number;
  readonly first: number;
  readonly count: number;
}

/**
 * Carries out tiles with a memory of its own: reads every input straight into it, runs the kernel there, and writes the result at its
 * final place. Inputs, output, scalars, sinks and histograms each have a region, laid out once for the widest tensor.
 */
export class Engine {
  readonly #job: Job;
  readonly #board: Board;
  readonly #sources: readonly ByteSource[];
  readonly #memory: WebAssembly.Memory;
  readonly #bytes: Uint8Array;
  readonly #regions: Regions;
  readonly #kernels = new Map<string, RunKernel>();
  /** Whose numbers stand in the block of scalars. */
  #scalarsOf: Step | undefined;

  constructor(job: Job, board: Board) {
    this.#job = job;
    this.#board = board;
    this.#sources = job.inputs.map(fileSource);
    this.#regions = layOut(job);
    const pages = Math.ceil(this.#regions.size / 65536);
    this.#memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.#bytes = new Uint8Array(this.#memory.buffer);
  }

  /** @throws NumericError, OutputError, TruncatedError, CheckpointError naming file, tensor and element. */
  runTile(step: Step, index: number): void {
    const tensor = at(this.#job.tensors, step.tensor);
    const first = index * this.#job.tileElements;
    const tile = { index, first, count: Math.min(this.#job.tileElements, tensor.elements - first) };
    if (tensor.action.kind === "copy") {
      const { source } = tensor.action;
      this.#read(tensor, source, tile, this.#regions.output);
      this.#write(tensor, tile);
      return;
    }
    const program = at(this.#job.programs.programs, this.#job.programs.byTensor[step.tensor] ?? -1);
    const valueBase = this.#job.schedule.valueBase[step.tensor] ?? 0;
    const scope = { step, tensor, action: tensor.action, program, valueBase };
    if (step.pass !== ALL) {
      this.#runPass(scope, step.pass, tile, new Set());
      return;
    }
    // All passes over one tile: what was read stays.
    const read = new Set<string>();
    program.passes.forEach((_pass, pass) => {
      this.#runPass(scope, pass, tile, read);
      this.#finishPass(scope, pass);
    });
  }

  /** To be called once, when all tiles of a step are done and before its flag goes up. */
  finishStep(step: Step): void {
    const tensor = at(this.#job.tensors, step.tensor);
    if (tensor.action.kind === "copy" || step.pass === ALL) return;
    const program = at(this.#job.programs.programs, this.#job.programs.byTensor[step.tensor] ?? -1);
    const valueBase = this.#job.schedule.valueBase[step.tensor] ?? 0;
    this.#finishPass({ step, tensor, action: tensor.action, program, valueBase }, step.pass);
  }

  #runPass(scope: Scope, passIndex: number, tile: Tile, alreadyRead: Set<string>): void {
    const { program, tensor, action, step } = scope;
    const pass = at(program.passes, passIndex);
    const kernel = at(program.kernels, pass.kernel);
    if (
      pass.kind === "histogram" &&
      passIndex > 0 &&
      at(program.passes, passIndex - 1).kind !== "histogram"
    ) {
      // The first round: nobody else has touched this search yet, and every tile would start it alike.
      this.#startSearch(scope, pass.stage);
    } else if (pass.kind === "histogram" && passIndex === 0) this.#startSearch(scope, pass.stage);
    if (pass.kind !== "stage" && !this.#isNeeded(scope, pass)) return;

    const pointers = kernel.slots.map((slot) => {
      const position = action.inputs.findIndex((candidate) => candidate.slot === slot);
      const input = at(action.inputs, position);
      const pointer = at(this.#regions.inputs, position);
      if (!alreadyRead.has(slot)) {
        this.#read(tensor, input.source, tile, pointer);
        alreadyRead.add(slot);
      }
      return pointer;
    });
    this.#writeScalars(scope, kernel, tile);
    if (pass.kind === "histogram") this.#openWindows(scope, pass.stage);

    const { scalars, sinks, selections, output } = this.#regions;
    this.#bind(kernel)(tile.count, scalars, sinks, selections, output, ...pointers);

    const count = kernel.sinks.length;
    const base = at(step.partialBase, passIndex) + tile.index * count;
    const results = new Float64Array(this.#memory.buffer, sinks, count);
    this.#board.partials.set(results, base);
    const refused = kernel.sinks.findIndex(({ key }) => key === REFUSED);
    if (refused >= 0 && results[refused] !== 0) throw this.#refusal(scope, kernel, tile, pointers);
    if (pass.kind === "histogram" && step.pass !== ALL) this.#addBins(step, program, pass.stage);
    if (kernel.spec.output !== undefined) this.#write(tensor, tile);
  }

  #finishPass(scope: Scope, passIndex: number): void {
    const { program, step, valueBase } = scope;
    const pass = at(program.passes, passIndex);
    const kernel = at(program.kernels, pass.kernel);
    const base = at(step.partialBase, passIndex);
    const count = sinksOf(program, passIndex);
    const { partials, values } = this.#board;

    if (pass.kind === "stage") {
      kernel.sinks.forEach(({ key, kind }, sink) => {
        if (key === REFUSED) return;
        let combined = kind === "min" ? Infinity : kind === "max" ? -Infinity : 0;
        for (let tile = 0; tile < step.tiles; tile++) {
          const partial = partials[base + tile * count + sink] ?? 0;
          if (kind === "min") combined = Math.min(combined, partial);
          else if (kind === "max") combined = Math.max(combined, partial);
          else combined += partial;
        }
        values[valueBase + program.values.indexOf(key)] = combined;
      });
      if (passIndex === program.passes.length - 1) this.#checkLimits(scope);
      return;
    }
    if (!this.#isNeeded(scope, pass)) return;
    const selections = this.#selections(program, pass.stage);
    if (pass.kind === "histogram") {
      selections.forEach(({ key, zeroBits }, k) => {
        const state = this.#searchState(scope, key, zeroBits);
        // A tensor of one tile is nobody else's business: its bins are still in the memory of this worker.
        const bins = step.pass === ALL ? this.#ownBins(k) : this.#sharedBins(step, k);
        if (!state.done) {
          let above = 0;
          for (let tile = 0; tile < step.tiles; tile++)
            above += partials[base + tile * count + k] ?? 0;
          this.#keepSearch(scope, key, refineSelection(state, above, bins));
        }
        if (step.pass !== ALL) bins.fill(0);
      });
      return;
    }
    // Counts become the number of equals in the tiles before.
    selections.forEach((_selection, k) => {
      let before = 0;
      for (let tile = 0; tile < step.tiles; tile++) {
        const position = base + tile * count + k;
        const equal = partials[position] ?? 0;
        partials[position] = before;
        before += equal;
      }
    });
  }

  #checkLimits(scope: Scope): void {
    const [exceeded] = exceededLimits(scope.program.lowered.limits, this.#lookup(scope));
    if (exceeded === undefined) return;
    const { limit, value, atMost } = exceeded;
    throw new NumericError({
      what: limit.what,
      where: `tensor ${JSON.stringify(scope.tensor.name)}`,
      got: String(value),
      expected: `at most ${atMost}`,
      hint: limit.hint,
    });
  }

  // --- the search for thresholds -----------------------------------------------------------------------------------------------

  #selections(
    program: Program,
    stage: number,
  ): NonNullable<Program["lowered"]["stages"][number]["selection"]>["selections"] {
    return program.lowered.stages[stage]?.selection?.selections ?? [];
  }

  #startSearch(scope: Scope, stage: number): void {
    const lookup = this.#lookup(scope);
    for (const { key, count, zeroBits } of this.#selections(scope.program, stage)) {
      this.#keepSearch(
        scope,
        key,
        startSelection(evaluateUniform(count, lookup), scope.tensor.elements, zeroBits),
      );
    }
  }

  #isNeeded(scope: Scope, pass: Program["passes"][number]): boolean {
    return this.#selections(scope.program, pass.stage).some(({ key, zeroBits }) => {
      const state = this.#searchState(scope, key, zeroBits);
      return pass.kind === "histogram" ? !state.done : state.done && state.keepEqual < state.equal;
    });
  }

  #searchState(scope: Scope, key: string, zeroBits: number): SelectionState {
    const begin = scope.valueBase + scope.program.values.indexOf(`${key}.${SEARCH_VALUES[0]}`);
    const [threshold = 0, done = 0, lo = 0, shift = 0, count = 0, keepEqual = 0, equal = 0] =
      this.#board.values.subarray(begin, begin + SEARCH_VALUES.length);
    return done === 0
      ? { done: false, window: { lo, shift }, count, zeroBits }
      : { done: true, threshold, keepEqual, equal };
  }

  #keepSearch(scope: Scope, key: string, state: SelectionState): void {
    const begin = scope.valueBase + scope.program.values.indexOf(`${key}.${SEARCH_VALUES[0]}`);
    this.#board.values.set(
      state.done
        ? [state.threshold, 1, 0, 0, 0, state.keepEqual, state.equal]
        : [NaN, 0, state.window.lo, state.window.shift, state.count, 0, 0],
      begin,
    );
  }

  /** Writes the windows of a round, with empty bins. */
  #openWindows(scope: Scope, stage: number): void {
    const view = new DataView(this.#memory.buffer);
    this.#selections(scope.program, stage).forEach(({ key, zeroBits }, k) => {
      const state = this.#searchState(scope, key, zeroBits);
      const { lo, shift } = state.done ? EMPTY_WINDOW : state.window;
      const block = this.#regions.selections + k * SELECTION_BYTES;
      view.setUint32(block, lo, true);
      view.setUint32(block + 4, shift, true);
      this.#bytes.fill(0, block + 8, block + SELECTION_BYTES);
    });
  }

  #addBins(step: Step, program: Program, stage: number): void {
    this.#selections(program, stage).forEach((_selection, k) => {
      const own = this.#ownBins(k);
      const shared = this.#sharedBins(step, k);
      for (let bin = 0; bin < BINS; bin++) {
        const found = own[bin] ?? 0;
        if (found !== 0) Atomics.add(shared, bin, found);
      }
    });
  }

  #ownBins(selection: number): Int32Array {
    const begin = this.#regions.selections + selection * SELECTION_BYTES + 8;
    return new Int32Array(this.#memory.buffer, begin, BINS);
  }

  #sharedBins(step: Step, selection: number): Int32Array {
    const begin = (step.searchSlot * this.#job.schedule.selections + selection) * BINS;
    return this.#board.bins.subarray(begin, begin + BINS);
  }

  // --- scalars -----------------------------------------------------------------------------------------------------------------

  #lookup(scope: Scope, tile?: Tile): UniformLookup {
    const { action, program, valueBase, tensor, step } = scope;
    const remaining = new Map<string, number>();
    if (tile !== undefined) {
      program.passes.forEach((pass, passIndex) => {
        if (pass.kind !== "equal") return;
        this.#selections(program, pass.stage).forEach(({ key, zeroBits }, k, { length }) => {
          const state = this.#searchState(scope, key, zeroBits);
          if (!state.done) return;
          const before =
            state.keepEqual < state.equal
              ? (this.#board.partials[at(step.partialBase, passIndex) + tile.index * length + k] ??
                0)
              : 0;
          // More than a tile has is all of them, and small enough to be exact in float32.
          remaining.set(remainingOf(key), Math.min(remainingInTile(state, before), 1 << 24));
        });
      });
    }
    return {
      elements: tensor.elements,
      parameter: (name) => {
        const value = program.values.indexOf(name);
        const known =
          value >= 0
            ? this.#board.values[valueBase + value]
            : (numberOf(action, name) ?? remaining.get(name));
        if (known === undefined)
          throw new Error(`the formula of ${tensor.name} has no parameter ${name}`);
        return known;
      },
    };
  }

  #writeScalars(scope: Scope, kernel: Kernel, tile: Tile): void {
    // The numbers of a pass are the same in all tiles, but for how many equals of a threshold are still to be taken.
    const differ =
      scope.step.pass === ALL || scope.program.passes.some(({ kind }) => kind === "equal");
    if (kernel.uniforms.length === 0 || (!differ && this.#scalarsOf === scope.step)) return;
    this.#scalarsOf = scope.step;
    const lookup = this.#lookup(scope, tile);
    const numbers = kernel.uniforms.map((node) => evaluateUniform(node, lookup));
    const { scalars } = this.#regions;
    if (kernel.spec.precision === "F64")
      new Float64Array(this.#memory.buffer, scalars, numbers.length).set(numbers);
    else new Float32Array(this.#memory.buffer, scalars, numbers.length).set(numbers);
  }

  #bind(kernel: Kernel): RunKernel {
    let bound = this.#kernels.get(kernel.key);
    if (bound === undefined) {
      const module = this.#job.modules.get(kernel.key);
      if (module === undefined) throw new Error(`no module for kernel ${kernel.key}`);
      bound = bindKernel(module, this.#memory);
      this.#kernels.set(kernel.key, bound);
    }
    return bound;
  }

  // --- bytes -------------------------------------------------------------------------------------------------------------------

  #read(
    tensor: PlannedTensor,
    source: {
      readonly file: number;
      readonly name: string;
      readonly begin: number;
      readonly dtype: DType;
      readonly strides?: readonly number[] | undefined;
    },
    tile: Tile,
    pointer: number,
  ): void {
    const size = byteLength(source.dtype, tile.count);
    const target = this.#bytes.subarray(pointer, pointer + size);
    const file = at(this.#sources, source.file);
    if (source.strides === undefined)
      file.readInto(target, source.begin + byteLength(source.dtype, tile.first));
    else {
      const { shape, elements } = tensor;
      readElements({ ...source, source: file, shape, elements }, tile.first, tile.count, target);
    }
    Atomics.add(this.#board.bytes, 0, BigInt(size));
  }

  #write(tensor: PlannedTensor, tile: Tile): void {
    const size = byteLength(tensor.dtype, tile.count);
    const position = tensor.offset + byteLength(tensor.dtype, tile.first);
    const { fd, path } = at(this.#job.outputs, tensor.shard);
    let done = 0;
    while (done < size) {
      try {
        done += writeSync(
          fd,
          this.#bytes,
          this.#regions.output + done,
          size - done,
          position + done,
        );
      } catch (error) {
        throw writeError(path, error);
      }
    }
    Atomics.add(this.#board.bytes, 0, BigInt(size));
  }

  #refusal(scope: Scope, kernel: Kernel, tile: Tile, pointers: readonly number[]): NumericError {
    const { action, program, tensor } = scope;
    const found = locate(program.lowered, kernel, {
      memory: this.#memory,
      count: tile.count,
      pointers,
      lookup: this.#lookup(scope, tile),
      scratch: this.#regions,
    });
    const element = tile.first + found.index;
    const input = action.inputs.find(({ slot }) => slot === found.refusal.slot);
    const file = input === undefined ? undefined : at(this.#job.inputs, input.source.file).name;
    const name = JSON.stringify(input?.source.name ?? tensor.name);
    return new NumericError({
      what: found.refusal.what,
      where: `${file === undefined ? "" : `${file}, `}tensor ${name}, element ${coordinates(element, tensor.shape)}`,
      got: found.got,
      hint: found.refusal.hint,
    });
  }
}

/** Where things stand in the memory of a worker. */
interface Regions {
  readonly scalars: number;
  readonly sinks: number;
  readonly selections: number;
  readonly output: number;
  readonly inputs: readonly number[];
  readonly size: number;
}

function layOut(job: Job): Regions {
  const kernels = job.programs.programs.flatMap((program) => program.kernels);
  const most = (counts: readonly number[]): number => Math.max(1, ...counts);
  let size = 0;
  const region = (bytes: number): number => {
    const begin = size;
    size = Math.ceil((begin + bytes) / PADDING) * PADDING;
    return begin;
  };
  const scalars = region(8 * most(kernels.map((kernel) => kernel.uniforms.length)));
  const sinks = region(8 * most(kernels.map((kernel) => kernel.sinks.length)));
  const selections = region(SELECTION_BYTES * job.schedule.selections);
  const tile = (dtype: DType): number => (job.tileElements * DTYPES[dtype].bits) / 8;
  const output = region(most(job.tensors.map(({ dtype }) => tile(dtype))) + PADDING);
  // By position: the widest type that any tensor has there.
  const widths: number[] = [];
  for (const { action } of job.tensors) {
    if (action.kind === "copy") continue;
    action.inputs.forEach(({ dtype }, k) => (widths[k] = Math.max(widths[k] ?? 0, tile(dtype))));
  }
  const inputs = widths.map((width) => region(width + PADDING));
  return { scalars, sinks, selections, output, inputs, size };
}

/** The number behind a parameter of a formula: `models[2].weight`, `models[2].scale`, `damping`. */
function numberOf(action: MergeAction, name: string): number | undefined {
  const scale = action.scales[name];
  if (scale !== undefined) return scale;
  const [, index, own] = /^models\[(\d+)\]\.(.+)$/.exec(name) ?? [];
  const value =
    index === undefined || own === undefined
      ? action.numbers.global[name]
      : action.numbers.models[Number(index)]?.[own];
  return typeof value === "number" ? value : undefined;
}

/** A flat index as coordinates: [3, 17]. */
function coordinates(element: number, shape: readonly number[]): string {
  const position: number[] = [];
  let rest = element;
  for (const extent of shape.toReversed()) {
    position.unshift(rest % extent);
    rest = Math.floor(rest / extent);
  }
  return `[${position.join(", ")}]`;
}

export function writeError(path: string, error: unknown): OutputError {
  if (error instanceof OutputError) return error;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const full = code === "ENOSPC" || code === "EDQUOT";
  return new OutputError({
    what: full ? "the disk is full" : "the output cannot be written",
    where: path,
    got: error instanceof Error ? error.message : String(error),
    hint: full ? "Make room, or write to another disk; nothing half-written is left." : undefined,
  });
}

/** An element that must be there. */
function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new RangeError(`no element ${index} of ${list.length}`);
  return found;
}
