import { InvalidArgumentError, type Command } from "commander";
import { failWith } from "./fail.js";
import { addRuntimeFlags, positiveInteger } from "./options.js";

interface Flags {
  readonly data?: Readonly<Record<string, string>>;
  readonly examples?: number;
  readonly maxLength?: number;
  readonly textColumn?: string;
  readonly pairColumn?: string;
  readonly labelColumn?: string;
  readonly out?: string;
  readonly threads?: number;
  readonly device?: "cpu" | "webgpu" | "wasm";
  readonly json?: true;
}

export function register(program: Command): void {
  const command = program
    .command("diagnose")
    .description("say how well a merge will match joint training, before it is evaluated, and why")
    .argument("<recipe>", "YAML file (docs/recipe.md)");
  addTaskDataFlags(command)
    .option("--out <folder>", "write diagnosis.json and report.html there; it must not exist")
    .option("--json", "one JSON object on standard output (docs/diagnose.md)");
  addRuntimeFlags(command)
    .addHelpText(
      "after",
      `
Examples:
  $ gradmerge diagnose recipe.yaml                  from weights and Fishers alone
  $ gradmerge diagnose recipe.yaml --data amazon=amazon.jsonl --data yelp=yelp.jsonl.gz --examples 500
  $ gradmerge diagnose recipe.yaml --out diagnosis  and open diagnosis/report.html`,
    )
    .action(diagnoseCommand);
}

/** The flags by which tasks get their training data. */
export function addTaskDataFlags(command: Command): Command {
  return command
    .option(
      "--data <name=file>",
      "training data of a model of the recipe, by its name there or the last part of it; once for each",
      collectData,
    )
    .option("--examples <n>", "only the first N examples of each file", positiveInteger)
    .option(
      "--max-length <n>",
      "cut texts to N tokens (default: what the model takes, at most 512)",
      positiveInteger,
    )
    .option("--text-column <name>", "the column with the text (default: text)")
    .option("--pair-column <name>", "the column with the second sentence of a pair")
    .option("--label-column <name>", "the column with the class (default: label)");
}

function collectData(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const at = text.indexOf("=");
  const name = text.slice(0, at);
  const file = text.slice(at + 1);
  if (at < 1 || file === "") {
    throw new InvalidArgumentError("Expected NAME=FILE, such as yelp=yelp/train.jsonl.");
  }
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError(`${name} is given twice.`);
  return { ...before, [name]: file };
}

async function diagnoseCommand(recipe: string, flags: Flags): Promise<void> {
  try {
    const { refuseExisting } = await import("../checkpoint/existing.js");
    const { writeDiagnosis } = await import("../diagnose/write.js");
    const { diagnose } = await import("../diagnose/diagnose.js");
    const { describeDiagnosis } = await import("../diagnose/describe.js");
    const { showWork } = await import("../report/work.js");
    const { out, json, ...options } = flags;
    if (out !== undefined) refuseExisting(out, "folder");
    const progress = showWork(process.stderr);
    const diagnosis = await diagnose({ recipe, ...options, onProgress: progress.show }).finally(
      () => progress.clear(),
    );
    const report = out === undefined ? undefined : await writeDiagnosis(out, diagnosis);
    if (json === true) {
      process.stdout.write(`${JSON.stringify(diagnosis)}\n`);
      return;
    }
    const width = process.stdout.isTTY ? Math.max(80, process.stdout.columns) : undefined;
    process.stdout.write(describeDiagnosis(diagnosis, width));
    if (report !== undefined) process.stdout.write(`\nOpen ${report}\n`);
  } catch (error) {
    failWith(error);
  }
}
