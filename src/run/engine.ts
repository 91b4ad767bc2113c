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
  type Kernel,
  type RunKernel,
} from "../formula/kernel.js";
import { locate } from "../formula/locate.js";
import {
  EMPTY_WINDOW,
  guessSelection,
  lastBin,
  refineSelection,
  startSelection,
  type SearchingState,
  type SelectionState,
} from "../formula/select.js";
import { evaluateUniform, exceededLimits, type UniformLookup } from "../formula/uniform.js";
import { bindKernel } from "../formula/wasm.js";
import type { MergeAction, PlannedTensor, TensorSource } from "../plan/plan.js";
import type { Board } from "./board.js";
import type { Job } from "./job.js";
import { numberOf, type Pass, type Program } from "./program.js";
import { ALL, sinksOf, type Step } from "./schedule.js";
import { SAMPLE_CHUNKS, SAMPLE_ELEMENTS, SAMPLE_SHARE, Searches, TILE_CODES } from "./search.js";

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
    const scope = this.#scope(step, tensor, tensor.action);
    if (step.pass !== ALL) {
      this.#runPass(scope, step.pass, tile, new Set());
      return;
    }
    // All passes over one tile: what was read stays.
    const read = new Set<string>();
    scope.program.passes.forEach((_pass, pass) => {
      this.#runPass(scope, pass, tile, read);
      this.#finishPass(scope, pass);
    });
  }

  /** To be called once, when all tiles of a step are done and before its flag goes up. */
  finishStep(step: Step): void {
    const tensor = at(this.#job.tensors, step.tensor);
    if (tensor.action.kind === "copy" || step.pass === ALL) return;
    this.#finishPass(this.#scope(step, tensor, tensor.action), step.pass);
  }

  #scope(step: Step, tensor: PlannedTensor, action: MergeAction): Scope {
    const { programs, schedule } = this.#job;
    const program = at(programs.programs, programs.byTensor[step.tensor] ?? -1);
    return { step, tensor, action, program, valueBase: schedule.valueBase[step.tensor] ?? 0 };
  }

  #runPass(scope: Scope, passIndex: number, tile: Tile, alreadyRead: Set<string>): void {
    const { program, tensor, step } = scope;
    const pass = at(program.passes, passIndex);
    if (pass.kind === "sample") {
      this.#startSearch(scope, pass);
      return;
    }
    if (pass.kind !== "stage" && !this.#searches(scope, pass.stage).needs(pass.kind, step.tiles)) {
      // As if it were done, for those who watch the progress.
      Atomics.add(this.#board.bytes, 0, BigInt(step.bytesPerElement * tile.count));
      return;
    }
    const parameters = new Map<string, number>();
    const isBulk = this.#tileParameters(scope, tile, parameters);
    const exact = at(program.kernels, pass.kernel);
    const kernel =
      pass.kind === "stage" && pass.bulk !== undefined && isBulk
        ? at(program.kernels, pass.bulk)
        : exact;

    const pointers = this.#pointers(scope, kernel, (source, slot, pointer) => {
      if (!alreadyRead.has(slot)) this.#read(tensor, source, tile, pointer);
      alreadyRead.add(slot);
    });
    this.#writeScalars(scope, kernel, parameters);
    const searches = pass.kind === "histogram" ? this.#searches(scope, pass.stage) : undefined;
    searches?.selections.forEach((_selection, k) => this.#openWindow(k, searches.state(k)));

    const results = this.#run(kernel, tile.count, pointers);
    this.#board.partials.set(
      results,
      at(step.partialBase, passIndex) + tile.index * results.length,
    );
    const refused = kernel.sinks.findIndex(({ key }) => key === REFUSED);
    if (refused >= 0 && results[refused] !== 0) {
      throw this.#refusal(
        scope,
        exact,
        tile,
        this.#pointers(scope, exact, () => {}),
      );
    }
    if (searches !== undefined && step.pass !== ALL) this.#addBins(step, searches, tile);
    if (kernel.spec.output !== undefined) this.#write(tensor, tile);
  }

  /** The addresses of a kernel's inputs, each of which is read before. */
  #pointers(
    { action }: Scope,
    kernel: Kernel,
    read: (source: TensorSource, slot: string, pointer: number) => void,
  ): number[] {
    return kernel.slots.map((slot) => {
      const position = action.inputs.findIndex((candidate) => candidate.slot === slot);
      const pointer = at(this.#regions.inputs, position);
      read(at(action.inputs, position).source, slot, pointer);
      return pointer;
    });
  }

  /** Runs a kernel, and gives back its sinks, in place. */
  #run(kernel: Kernel, count: number, pointers: readonly number[]): Float64Array {
    const { scalars, sinks, selections, output } = this.#regions;
    this.#bind(kernel)(count, scalars, sinks, selections, output, ...pointers);
    return new Float64Array(this.#memory.buffer, sinks, kernel.sinks.length);
  }

  #finishPass(scope: Scope, passIndex: number): void {
    const { program, step, valueBase } = scope;
    const pass = at(program.passes, passIndex);
    const { partials, values } = this.#board;
    const base = at(step.partialBase, passIndex);
    const count = sinksOf(program, passIndex);
    const sumOf = (sink: number): number => {
      let sum = 0;
      for (let tile = 0; tile < step.tiles; tile++)
        sum += partials[base + tile * count + sink] ?? 0;
      return sum;
    };

    if (pass.kind === "stage") {
      at(program.kernels, pass.kernel).sinks.forEach(({ key, kind }, sink) => {
        if (key === REFUSED) return;
        let combined = kind === "min" ? Infinity : -Infinity;
        if (kind === "min" || kind === "max") {
          const choose = kind === "min" ? Math.min : Math.max;
          for (let tile = 0; tile < step.tiles; tile++) {
            combined = choose(combined, partials[base + tile * count + sink] ?? 0);
          }
        } else combined = sumOf(sink);
        values[valueBase + program.values.indexOf(key)] = combined;
      });
      if (passIndex === program.passes.length - 1) this.#checkLimits(scope);
      return;
    }
    const searches = this.#searches(scope, pass.stage);
    if (pass.kind === "sample" || !searches.needs(pass.kind, step.tiles)) return;
    searches.selections.forEach((_selection, k) => {
      if (pass.kind === "equal") {
        this.#sumBefore(scope, pass.stage, k, (tile) => partials[base + tile * count + k] ?? 0);
        return;
      }
      const state = searches.state(k);
      // A tensor of one tile is nobody else's business: its bins are still in the memory of this worker.
      const bins = step.pass === ALL ? this.#ownBins(k) : this.#sharedBins(step, k);
      if (!state.done) {
        const next = searches.refine(k, state, sumOf(k), bins);
        const bin = lastBin(state, next);
        const code = bin === undefined ? NaN : this.#codeOf(state, bin);
        if (step.tiles > 1 && code < TILE_CODES) {
          this.#sumBefore(
            scope,
            pass.stage,
            k,
            (tile) => this.#tileCodes(step, tile, k)[code] ?? 0,
          );
          searches.setCounted(k);
        }
      }
      if (step.pass !== ALL) bins.fill(0);
    });
  }

  /** Keeps, for each tile, how many equals of a threshold the tiles before it hold: where the pass that counts them would. */
  #sumBefore(
    { program, step }: Scope,
    stage: number,
    selection: number,
    equalIn: (tile: number) => number,
  ): void {
    const pass = equalPass(program, stage);
    const base = at(step.partialBase, pass);
    const count = sinksOf(program, pass);
    let before = 0;
    for (let tile = 0; tile < step.tiles; tile++) {
      const equal = equalIn(tile);
      this.#board.partials[base + tile * count + selection] = before;
      before += equal;
    }
  }

  #checkLimits(scope: Scope): void {
    const [exceeded] = exceededLimits(scope.program.lowered.limits, this.#lookup(scope, new Map()));
    if (exceeded === undefined) return;
    const { limit, value, atMost } = exceeded;
    throw new NumericError({
      what: limit.what,
      where: `tensor ${JSON.stringify(scope.tensor.name)}, of ${this.#origin(scope.action)}`,
      got: String(value),
      expected: `at most ${atMost}`,
      hint: limit.hint,
    });
  }

  // --- the search for thresholds -----------------------------------------------------------------------------------------------

  #searches({ program, valueBase }: Scope, stage: number): Searches {
    return new Searches(program, stage, this.#board.values, valueBase);
  }

  /** Begins the searches of a stage; in a tensor of many tiles, where a sample says. */
  #startSearch(scope: Scope, pass: Pass): void {
    const { step, tensor, program } = scope;
    const searches = this.#searches(scope, pass.stage);
    searches.start(tensor.elements, this.#lookup(scope, new Map()));
    if (step.pass === ALL || !searches.needs("histogram", step.tiles)) return;
    const sample = Math.min(
      SAMPLE_ELEMENTS,
      this.#job.tileElements,
      tensor.elements * SAMPLE_SHARE,
    );
    // Whole steps of a kernel, so that chunks begin at aligned addresses.
    const chunk = Math.max(8, 8 * Math.floor(sample / SAMPLE_CHUNKS / 8));
    const kernel = at(program.kernels, pass.kernel);
    const pointers = this.#pointers(scope, kernel, (source, _slot, pointer) => {
      for (let k = 0; k < SAMPLE_CHUNKS; k++) {
        const first = Math.floor((k * (tensor.elements - chunk)) / (SAMPLE_CHUNKS - 1));
        const offset = byteLength(source.dtype, k * chunk);
        this.#read(tensor, source, { index: 0, first, count: chunk }, pointer + offset);
      }
    });
    this.#scalarsOf = undefined;
    this.#writeScalars(scope, kernel, new Map());
    const size = chunk * SAMPLE_CHUNKS;
    searches.selections.forEach(({ zeroBits }, k) => {
      const state = searches.state(k);
      if (state.done) return;
      const share = state.count / tensor.elements;
      // Four standard deviations of the rank, were the elements independent.
      const margin = 4 * Math.sqrt(size * share * (1 - share)) + 32;
      const magnitude = (rank: number): number => {
        let found = startSelection(Math.max(1, Math.min(size - 1, rank)), size, zeroBits);
        while (!found.done) {
          this.#openWindow(k, found);
          const above = this.#run(kernel, size, pointers)[k] ?? 0;
          found = refineSelection(found, above, this.#ownBins(k));
        }
        return found.threshold;
      };
      searches.selections.forEach((_selection, other) => this.#openWindow(other, undefined));
      const high = magnitude(share * size - margin);
      searches.keep(k, guessSelection(state, magnitude(share * size + margin), high));
    });
    this.#scalarsOf = undefined;
  }

  /** Writes the window of a search, with empty bins; that of one that is over takes in nothing. */
  #openWindow(selection: number, state: SelectionState | undefined): void {
    const { lo, shift } = state === undefined || state.done ? EMPTY_WINDOW : state.window;
    const view = new DataView(this.#memory.buffer);
    const block = this.#regions.selections + selection * SELECTION_BYTES;
    view.setUint32(block, lo, true);
    view.setUint32(block + 4, shift, true);
    this.#bytes.fill(0, block + 8, block + SELECTION_BYTES);
  }

  /** Adds the bins of a tile to those of all, and keeps the few by themselves that may turn out to be the last. */
  #addBins(step: Step, searches: Searches, tile: Tile): void {
    searches.selections.forEach((_selection, k) => {
      const state = searches.state(k);
      if (state.done) return;
      const own = this.#ownBins(k);
      const shared = this.#sharedBins(step, k);
      for (let bin = 0; bin < BINS; bin++) {
        const found = own[bin] ?? 0;
        if (found !== 0) Atomics.add(shared, bin, found);
      }
      const codes = this.#tileCodes(step, tile.index, k);
      const stride = 2 ** (state.zeroBits - state.window.shift);
      if (stride < 1) return;
      for (let code = 0; code < TILE_CODES; code++) codes[code] = own[code * stride] ?? 0;
    });
  }

  /** The number of a magnitude within the window: bins in which none can be do not count. */
  #codeOf({ zeroBits, window }: SearchingState, bin: number): number {
    return zeroBits < window.shift ? NaN : bin / 2 ** (zeroBits - window.shift);
  }

  #tileCodes(step: Step, tile: number, selection: number): Int32Array {
    const base = this.#job.schedule.tileCodeBase[step.tensor] ?? 0;
    const begin = base + (tile * this.#job.schedule.selections + selection) * TILE_CODES;
    return this.#board.tileCodes.subarray(begin, begin + TILE_CODES);
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

  /** The parameters that differ from tile to tile; whether all selections do without a counter of equals here. */
  #tileParameters(scope: Scope, tile: Tile, parameters: Map<string, number>): boolean {
    const { program, step } = scope;
    let isBulk = true;
    program.passes.forEach((pass, passIndex) => {
      if (pass.kind !== "equal") return;
      const searches = this.#searches(scope, pass.stage);
      const count = sinksOf(program, passIndex);
      searches.selections.forEach((_selection, k) => {
        const position = at(step.partialBase, passIndex) + tile.index * count + k;
        const split = step.tiles > 1 && searches.isSplit(k);
        const before = split ? (this.#board.partials[position] ?? 0) : 0;
        const next =
          split && tile.index + 1 < step.tiles ? this.#board.partials[position + count] : undefined;
        const here = next === undefined ? equalsOf(searches.state(k)) - before : next - before;
        isBulk = searches.inTile(k, before, here, parameters) && isBulk;
      });
    });
    return isBulk;
  }

  #lookup(scope: Scope, parameters: ReadonlyMap<string, number>): UniformLookup {
    const { action, program, valueBase, tensor } = scope;
    return {
      elements: tensor.elements,
      parameter: (name) => {
        const value = program.values.indexOf(name);
        const known =
          value >= 0
            ? this.#board.values[valueBase + value]
            : (numberOf(action, name) ?? parameters.get(name));
        if (known === undefined)
          throw new Error(`the formula of ${tensor.name} has no parameter ${name}`);
        return known;
      },
    };
  }

  #writeScalars(scope: Scope, kernel: Kernel, parameters: ReadonlyMap<string, number>): void {
    // The numbers of a pass are the same in all tiles, but for what is taken of the equals of a threshold.
    const differ = scope.step.pass === ALL || parameters.size > 0;
    if (kernel.uniforms.length === 0 || (!differ && this.#scalarsOf === scope.step)) return;
    this.#scalarsOf = scope.step;
    const lookup = this.#lookup(scope, parameters);
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
    const parameters = new Map<string, number>();
    this.#tileParameters(scope, tile, parameters);
    const found = locate(program.lowered, kernel, {
      memory: this.#memory,
      count: tile.count,
      pointers,
      lookup: this.#lookup(scope, parameters),
      scratch: this.#regions,
    });
    const element = tile.first + found.index;
    const input = action.inputs.find(({ slot }) => slot === found.refusal.slot);
    const place = `element ${coordinates(element, tensor.shape)}`;
    return new NumericError({
      what: found.refusal.what,
      where:
        input === undefined
          ? `tensor ${JSON.stringify(tensor.name)}, ${place}, of ${this.#origin(action)}`
          : `${this.#fileOf(input)}, tensor ${JSON.stringify(input.source.name)}, ${place}`,
      got: found.got,
      hint: found.refusal.hint,
    });
  }

  #fileOf({ source }: MergeAction["inputs"][number]): string {
    return at(this.#job.inputs, source.file).name;
  }

  /** The files that a tensor is merged from, for what is the matter with no single one of them. */
  #origin({ inputs }: MergeAction): string {
    const [first = "", ...others] = new Set(inputs.map((input) => this.#fileOf(input)));
    return others.length === 0
      ? first
      : `${first} and ${others.length} other ${others.length === 1 ? "file" : "files"}`;
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

/** The pass that counts the equals of the thresholds of a stage. */
function equalPass(program: Program, stage: number): number {
  return program.passes.findIndex((pass) => pass.kind === "equal" && pass.stage === stage);
}

function equalsOf(state: SelectionState): number {
  return state.done ? state.equal : 0;
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
