import { DTYPES, type DType } from "../dtypes/dtype.js";
import type { Plan } from "../plan/plan.js";
import type { Program, Programs } from "./program.js";
import { TILE_CODES } from "./search.js";

/**
 * The order of work, the same in every thread: steps in the order of the tensors, each a number of tiles that are claimed one after another.
 * A tensor of one tile is one step in which all its passes run on the same bytes; a larger one is a step per pass.
 */
export interface Schedule {
  readonly steps: readonly Step[];
  /** Tiles before each step, and their total at the end. */
  readonly starts: Int32Array;
  /** By tensor: the last of its steps, or −1 for an empty tensor. */
  readonly lastStep: Int32Array;
  /** By tensor: where its values stand on the board. */
  readonly valueBase: Int32Array;
  readonly values: number;
  /** Numbers of single tiles on the board. */
  readonly partials: number;
  /** Searches that are under way at once at most; each has histograms of its own. */
  readonly searchSlots: number;
  /** The most selections of one search. */
  readonly selections: number;
  /** By tensor: where the counts of single tiles stand, `TILE_CODES` for each tile and selection; and how many there are. */
  readonly tileCodeBase: Float64Array;
  readonly tileCodes: number;
}

export interface Step {
  readonly tensor: number;
  readonly tiles: number;
  /** Index of a pass, or `ALL` where one tile runs them all. */
  readonly pass: number;
  /** Where the partial results of pass p, tile k stand: `partialBase[p] + k·sinks(p)`. */
  readonly partialBase: readonly number[];
  /** Steps that must be over first; −1 for none. */
  readonly after: number;
  /** For histograms: the slot of bins, and the step that must have given it back. */
  readonly searchSlot: number;
  readonly slotFreeAfter: number;
  /** Bytes read and written per element. */
  readonly bytesPerElement: number;
}

export const ALL = -1;
/** More than a search and those that wait for it; few enough to cost nothing. */
const SEARCH_SLOTS = 4;

/** The number of sinks of a pass. */
export function sinksOf(program: Program, pass: number): number {
  const kernel = program.passes[pass]?.kernel;
  return kernel === undefined ? 0 : (program.kernels[kernel]?.sinks.length ?? 0);
}

export function schedule(plan: Plan, { programs, byTensor }: Programs): Schedule {
  const steps: Step[] = [];
  const starts: number[] = [0];
  const count = plan.tensors.length;
  const lastStep = new Int32Array(count).fill(-1);
  const valueBase = new Int32Array(count);
  let values = 0;
  let partials = 0;
  const selections = Math.max(
    0,
    ...programs.flatMap(({ lowered }) =>
      lowered.stages.map(({ selection }) => selection?.selections.length ?? 0),
    ),
  );
  const tileCodeBase = new Float64Array(count);
  let tileCodes = 0;
  /** The last step of each search so far. */
  const searches: number[] = [];

  const push = (step: Step): void => {
    starts.push((starts.at(-1) ?? 0) + step.tiles);
    steps.push(step);
  };

  plan.tensors.forEach((tensor, index) => {
    const program = programs[byTensor[index] ?? -1];
    valueBase[index] = values;
    values += program?.values.length ?? 0;
    const tiles = Math.ceil(tensor.elements / plan.tileElements);
    if (tiles === 0) return;
    const passes = program?.passes ?? [];
    const partialBase = passes.map((_pass, pass) => {
      const base = partials;
      partials += tiles * (program === undefined ? 0 : sinksOf(program, pass));
      return base;
    });
    const { action } = tensor;
    const inputs = action.kind === "copy" ? [action.source] : action.inputs;
    const read = inputs.reduce((total, { dtype }) => total + bytes(dtype), 0);
    const write = bytes(tensor.dtype);
    const common = { tensor: index, tiles, partialBase, searchSlot: -1, slotFreeAfter: -1 };
    if (program === undefined || tiles === 1 || passes.length === 1) {
      const pass = program === undefined || passes.length === 1 ? 0 : ALL;
      push({ ...common, pass, after: -1, bytesPerElement: read + write });
    } else {
      if (passes.some(({ kind }) => kind === "histogram")) {
        tileCodeBase[index] = tileCodes;
        tileCodes += tiles * selections * TILE_CODES;
      }
      passes.forEach((pass, p) => {
        const sample = pass.kind === "sample";
        const last = p === passes.length - 1;
        const first = p === 0;
        const begins = pass.kind === "histogram" && passes[p - 1]?.kind !== "histogram";
        if (begins) searches.push(0);
        const slot = (searches.length - 1) % SEARCH_SLOTS;
        push({
          ...common,
          tiles: sample ? 1 : tiles,
          pass: p,
          after: first ? -1 : steps.length - 1,
          searchSlot: pass.kind === "histogram" ? slot : -1,
          slotFreeAfter: begins ? (searches[searches.length - 1 - SEARCH_SLOTS] ?? -1) : -1,
          bytesPerElement: sample ? 0 : read + (last ? write : 0),
        });
        if (pass.kind === "histogram") searches[searches.length - 1] = steps.length - 1;
      });
    }
    lastStep[index] = steps.length - 1;
  });

  return {
    steps,
    starts: Int32Array.from(starts),
    lastStep,
    valueBase,
    values,
    partials,
    searchSlots: selections === 0 ? 0 : SEARCH_SLOTS,
    selections,
    tileCodeBase,
    tileCodes,
  };
}

/** The step that a tile belongs to. */
export function stepOf(starts: Int32Array, tile: number): number {
  let low = 0;
  let high = starts.length - 1;
  // The last step whose first tile is not after this one.
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? 0) <= tile) low = middle;
    else high = middle;
  }
  return low;
}

function bytes(dtype: DType): number {
  return DTYPES[dtype].bits / 8;
}
