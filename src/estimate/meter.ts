import type { WorkStep } from "../report/work.js";

export interface MeterOptions {
  readonly onProgress?: ((progress: WorkStep) => void) | undefined;
}

/** Measures speed from the work of this run, without what was resumed. */
export class Meter {
  readonly #stage: string;
  #total: number;
  readonly #report: MeterOptions["onProgress"];
  readonly #start = performance.now();
  readonly #before: number;
  #done: number;

  constructor(stage: string, total: number, done: number, options: MeterOptions) {
    this.#stage = stage;
    this.#total = total;
    this.#before = done;
    this.#done = done;
    this.#report = options.onProgress;
    this.#tell();
  }

  advance(examples: number): void {
    this.#done += examples;
    this.#tell();
  }

  /** There are so many in all: for whoever finds out late. */
  expect(total: number): void {
    this.#total = total;
  }

  finish(): void {
    this.#tell();
  }

  #tell(): void {
    const seconds = (performance.now() - this.#start) / 1000;
    const examplesPerSecond = (this.#done - this.#before) / seconds;
    this.#report?.({
      stage: this.#stage,
      done: this.#done,
      total: this.#total,
      examplesPerSecond,
      secondsLeft:
        examplesPerSecond > 0 ? (this.#total - this.#done) / examplesPerSecond : Infinity,
    });
  }
}
