import { InvalidArgumentError, Option, type Command } from "commander";
import { GradmergeError } from "../errors.js";
import { failWith } from "./fail.js";
import { interruptible } from "./interrupt.js";

interface Flags {
  readonly data: string;
  readonly out: string;
  readonly epochs?: number;
  readonly steps?: number;
  readonly lr?: number;
  readonly batch?: number;
  readonly accumulate?: number;
  readonly maxLength?: number;
  readonly examples?: number;
  readonly textColumn?: string;
  readonly pairColumn?: string;
  readonly labelColumn?: string;
  readonly labelFile?: string;
  readonly labels?: number | readonly string[];
  readonly fromScratch?: true;
  readonly seed?: number;
  readonly schedule?: "linear" | "cosine" | "constant";
  readonly warmup?: number;
  readonly clip?: number;
  readonly weightDecay?: number;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  readonly dropout?: "config" | "off" | number;
  readonly freeze?: readonly string[];
  readonly anchor?: string;
  readonly anchorFisher?: string;
  readonly anchorScale?: number;
  readonly anchorL2?: number;
  readonly validation?: string;
  readonly patience?: number;
  readonly dtype?: "f32" | "bf16" | "f16";
  readonly log?: string;
  readonly saveEvery?: number;
  readonly resume?: true;
  readonly threads?: number;
  readonly device?: "cpu" | "webgpu" | "wasm";
  readonly json?: true;
}

const DTYPES = { f32: "F32", bf16: "BF16", f16: "F16" } as const;

export function register(program: Command): void {
  program
    .command("finetune")
    .description("train a model on data, into a new folder (docs/training.md)")
    .argument("<model>", "Hugging Face folder, or a model's id on the Hub")
    .requiredOption(
      "--data <file>",
      "examples: JSON Lines, CSV, TSV, Parquet, images (docs/data.md)",
    )
    .requiredOption("--out <dir>", "folder to make; it must not exist")
    .option("--epochs <n>", "passes over the data (default: 3)", positiveInteger)
    .option("--steps <n>", "the most steps, whatever the epochs are", positiveInteger)
    .option("--lr <rate>", "learning rate (default: 2e-5)", number)
    .option(
      "--batch <n>",
      "examples that go through the network together (default: 16)",
      positiveInteger,
    )
    .option("--accumulate <n>", "batches that make one step (default: 1)", positiveInteger)
    .option(
      "--max-length <n>",
      "tokens to which texts are cut (default: what the model takes, at most 512)",
      positiveInteger,
    )
    .option("--examples <n>", "only the first so many examples", positiveInteger)
    .option("--text-column <name>", "column with the text")
    .option("--pair-column <name>", "column with the second sentence of a pair")
    .option("--label-column <name>", "column with the class (default: label)")
    .option("--label-file <file>", "labels of idx images")
    .option("--labels <classes>", "a new head, for so many classes or for a list of names", classes)
    .option(
      "--from-scratch",
      "begin at random weights: MODEL needs config.json and tokenizer alone",
    )
    .option(
      "--seed <n>",
      "seed of the order of examples, of dropout and of new weights (default: 0)",
      wholeNumber,
    )
    .addOption(
      new Option(
        "--schedule <name>",
        "how the learning rate goes on after the warm-up (default: linear)",
      ).choices(["linear", "cosine", "constant"]),
    )
    .option(
      "--warmup <steps>",
      "steps of warm-up, or a share of all steps below 1 (default: 0)",
      number,
    )
    .option(
      "--clip <norm>",
      "largest norm of a gradient; 0: any (default: 1, with an anchor 0)",
      number,
    )
    .option("--weight-decay <rate>", "decoupled decay of matrices (default: 0)", number)
    .option("--beta1 <rate>", "memory of the first moment (default: 0.9)", number)
    .option("--beta2 <rate>", "memory of the second moment (default: 0.999)", number)
    .option("--epsilon <number>", "added to the root of the second moment (default: 1e-8)", number)
    .option("--dropout <rate>", "off, config, or a rate (default: off)", dropoutRate)
    .option("--freeze <pattern...>", "parameters that stay as they are; * stands for anything")
    .option("--anchor <model>", "model to stay near to (default: the one that is trained)")
    .option("--anchor-fisher <file>", "its Fisher, which says how near")
    .option(
      "--anchor-scale <n>",
      "examples that it was trained on (default: as the Fisher says)",
      number,
    )
    .option("--anchor-l2 <weight>", "a plain weight of the anchor beside the summed loss", number)
    .option(
      "--validation <file>",
      "examples to measure on after each epoch; the best weights are kept",
    )
    .option("--patience <n>", "stop after so many epochs that are no better", positiveInteger)
    .addOption(
      new Option("--dtype <type>", "type of the weights (default: that of the model)").choices([
        "f32",
        "bf16",
        "f16",
      ]),
    )
    .option("--log <file>", "one JSON object a step (default: train.jsonl in the folder)")
    .option(
      "--save-every <n>",
      "steps between saves (default: every epoch and every five minutes)",
      positiveInteger,
    )
    .option("--resume", "continue an interrupted training")
    .option("--threads <n>", "threads (default: as many as processors)", positiveInteger)
    .addOption(
      new Option("--device <name>", "where the network runs (default: cpu)").choices([
        "cpu",
        "webgpu",
        "wasm",
      ]),
    )
    .option("--json", "one JSON event a line on standard output; the last says what was written")
    .addHelpText(
      "after",
      `
Examples:
  $ gradmerge finetune base --data yelp.jsonl --out yelp
  $ gradmerge finetune base --data yelp.jsonl --out yelp --validation dev.jsonl --patience 2
  $ gradmerge finetune base --data yelp.jsonl --out yelp --resume        after an interruption
  $ gradmerge finetune base --data yelp.jsonl --out yelp \\
      --anchor-fisher base/fisher.safetensors                            stay near the base
  $ gradmerge finetune bert-base-uncased --data topics.csv --labels sports,politics,arts --out topics
  $ gradmerge finetune configuration --from-scratch --data digits-images-idx3-ubyte --lr 1e-3 --out base`,
    )
    .action(finetuneCommand);
}

async function finetuneCommand(model: string, flags: Flags): Promise<void> {
  const print = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`);
  try {
    // One after another: Node 20 loses track where imports that share modules run side by side.
    const { finetune } = await import("../train/finetune.js");
    const { describeTraining, showTraining } = await import("../train/show-progress.js");
    const { lr, dtype, anchor, anchorFisher, anchorScale, anchorL2, json, ...same } = flags;
    const anchored = [anchor, anchorFisher, anchorScale, anchorL2].some((one) => one !== undefined);
    const options = {
      ...same,
      model,
      learningRate: lr,
      dtype: dtype === undefined ? undefined : DTYPES[dtype],
      anchor: anchored
        ? { base: anchor, fisher: anchorFisher, scale: anchorScale, l2: anchorL2 }
        : undefined,
    };
    const onEvent = json === true ? print : showTraining(process.stderr);
    const result = await interruptible((signal) => finetune(options, { signal, onEvent }));
    if (json !== true) process.stdout.write(describeTraining(result));
  } catch (error) {
    if (flags.json === true && error instanceof GradmergeError) {
      print({ event: "error", tag: error.tag, ...error.facts });
    }
    failWith(error);
  }
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("Expected a number.");
}

function wholeNumber(text: string): number {
  const value = number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError("Expected a whole number from 0 up.");
}

function positiveInteger(text: string): number {
  const value = number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError("Expected a whole number from 1 up.");
}

function dropoutRate(text: string): "config" | "off" | number {
  return text === "config" || text === "off" ? text : number(text);
}

function classes(text: string): number | readonly string[] {
  return /^\d+$/.test(text) ? Number(text) : text.split(",");
}
