import { InvalidArgumentError, type Command } from "commander";

/** Readers of flags that several commands have, and flags that go together. */

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text.trim()) && Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("Expected a whole number from 1 up.");
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text.trim()) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError("Expected a whole number from 0 up.");
}

export function oneOf<const T extends string>(...allowed: readonly T[]): (text: string) => T {
  return (text) => {
    const found = allowed.find((one) => one === text);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`Expected one of ${allowed.join(", ")}.`);
  };
}

/** What `addDataFlags` gives. */
export interface DataFlags {
  readonly data: string;
  readonly examples?: number;
  readonly maxLength?: number;
  readonly textColumn?: string;
  readonly pairColumn?: string;
  readonly labelColumn?: string;
  readonly labelFile?: string;
}

/** The flags that say which examples a model is given. */
export function addDataFlags(command: Command, required = true): Command {
  const data = "--data <file>";
  const what =
    "JSON Lines, CSV, TSV, Parquet (also .gz), idx images, a folder of images, or a Hub id";
  if (required) command.requiredOption(data, what);
  else command.option(data, what);
  return command
    .option("--examples <n>", "only the first N examples", positiveInteger)
    .option(
      "--max-length <n>",
      "cut texts to N tokens (default: what the model takes, at most 512)",
      positiveInteger,
    )
    .option("--text-column <name>", "the column with the text (default: text)")
    .option("--pair-column <name>", "the column with the second sentence of a pair")
    .option("--label-column <name>", "the column with the class (default: label)")
    .option("--label-file <file>", "the labels of idx images, where they do not lie beside them");
}

/** The flags that say where and with how much the runtime computes. */
export function addRuntimeFlags(command: Command): Command {
  return command
    .option("--threads <n>", "threads (default: as many as processors, at most 4)", positiveInteger)
    .option(
      "--device <device>",
      "cpu, webgpu or wasm (default: cpu)",
      oneOf("cpu", "webgpu", "wasm"),
    );
}
